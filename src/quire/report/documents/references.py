"""What the paper stands on, as APA entries: the key used in the text, how it is cited there, and the entry."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reference:
    cited: str
    """In brackets: (Malkov & Yashunin, 2020)."""
    entry: str
    """`*…*` is set in italics."""


REFERENCES = {
    "hnsw": Reference(
        "Malkov & Yashunin, 2020",
        "Malkov, Y. A., & Yashunin, D. A. (2020). Efficient and robust approximate nearest neighbor search using "
        "hierarchical navigable small world graphs. *IEEE Transactions on Pattern Analysis and Machine Intelligence, "
        "42*(4), 824–836. https://doi.org/10.1109/TPAMI.2018.2889473",
    ),
    "bm25": Reference(
        "Robertson & Zaragoza, 2009",
        "Robertson, S., & Zaragoza, H. (2009). The probabilistic relevance framework: BM25 and beyond. *Foundations "
        "and Trends in Information Retrieval, 3*(4), 333–389. https://doi.org/10.1561/1500000019",
    ),
    "blockmax": Reference(
        "Ding & Suel, 2011",
        "Ding, S., & Suel, T. (2011). Faster top-k document retrieval using block-max indexes. In *Proceedings of the "
        "34th International ACM SIGIR Conference on Research and Development in Information Retrieval* (pp. 993–1002). "
        "https://doi.org/10.1145/2009916.2010048",
    ),
    "countmin": Reference(
        "Cormode & Muthukrishnan, 2005",
        "Cormode, G., & Muthukrishnan, S. (2005). An improved data stream summary: The count-min sketch and its "
        "applications. *Journal of Algorithms, 55*(1), 58–75. https://doi.org/10.1016/j.jalgor.2003.12.001",
    ),
    "conservative": Reference(
        "Estan & Varghese, 2003",
        "Estan, C., & Varghese, G. (2003). New directions in traffic measurement and accounting: Focusing on the "
        "elephants, ignoring the mice. *ACM Transactions on Computer Systems, 21*(3), 270–313. "
        "https://doi.org/10.1145/859716.859719",
    ),
    "paged": Reference(
        "Kwon et al., 2023",
        "Kwon, W., Li, Z., Zhuang, S., Sheng, Y., Zheng, L., Yu, C. H., Gonzalez, J. E., Zhang, H., & Stoica, I. "
        "(2023). Efficient memory management for large language model serving with PagedAttention. In *Proceedings of "
        "the 29th Symposium on Operating Systems Principles* (pp. 611–626). https://doi.org/10.1145/3600006.3613165",
    ),
    "orca": Reference(
        "Yu et al., 2022",
        "Yu, G.-I., Jeong, J. S., Kim, G.-W., Kim, S., & Chun, B.-G. (2022). Orca: A distributed serving system for "
        "transformer-based generative models. In *16th USENIX Symposium on Operating Systems Design and "
        "Implementation* (pp. 521–538). USENIX Association.",
    ),
    "scaling": Reference(
        "Pope et al., 2023",
        "Pope, R., Douglas, S., Chowdhery, A., Devlin, J., Bradbury, J., Heek, J., Xiao, K., Agrawal, S., & Dean, J. "
        "(2023). Efficiently scaling transformer inference. *Proceedings of Machine Learning and Systems, 5*, 606–624.",
    ),
    "radix": Reference(
        "Zheng et al., 2024",
        "Zheng, L., Yin, L., Xie, Z., Sun, C., Huang, J., Yu, C. H., Cao, S., Kozyrakis, C., Stoica, I., Gonzalez, J. "
        "E., Barrett, C., & Sheng, Y. (2024). SGLang: Efficient execution of structured language model programs. "
        "*Advances in Neural Information Processing Systems, 37*.",
    ),
    "chunked": Reference(
        "Agrawal et al., 2024",
        "Agrawal, A., Kedia, N., Panwar, A., Mohan, J., Kwatra, N., Gulavani, B. S., Tumanov, A., & Ramjee, R. (2024). "
        "Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve. In *18th USENIX Symposium on "
        "Operating Systems Design and Implementation* (pp. 117–134). USENIX Association.",
    ),
    "rrf": Reference(
        "Cormack et al., 2009",
        "Cormack, G. V., Clarke, C. L. A., & Büttcher, S. (2009). Reciprocal rank fusion outperforms Condorcet and "
        "individual rank learning methods. In *Proceedings of the 32nd International ACM SIGIR Conference on Research "
        "and Development in Information Retrieval* (pp. 758–759). https://doi.org/10.1145/1571941.1572114",
    ),
    "rag": Reference(
        "Lewis et al., 2020",
        "Lewis, P., Perez, E., Piktus, A., Petroni, F., Karpukhin, V., Goyal, N., Küttler, H., Lewis, M., Yih, W., "
        "Rocktäschel, T., Riedel, S., & Kiela, D. (2020). Retrieval-augmented generation for knowledge-intensive NLP "
        "tasks. *Advances in Neural Information Processing Systems, 33*, 9459–9474.",
    ),
    "sbert": Reference(
        "Reimers & Gurevych, 2019",
        "Reimers, N., & Gurevych, I. (2019). Sentence-BERT: Sentence embeddings using Siamese BERT-networks. In "
        "*Proceedings of the 2019 Conference on Empirical Methods in Natural Language Processing* (pp. 3982–3992). "
        "https://doi.org/10.18653/v1/D19-1410",
    ),
}
