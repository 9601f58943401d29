"""Who runs next, who may come in, and what runs together?

Needs no torch.
"""

from quire.scheduling.admission import AdmissionController, AdmissionLimits, Admitted
from quire.scheduling.indexed_heap import IndexedHeap
from quire.scheduling.microbatch import BatchedCalls, MicroBatcher
from quire.scheduling.priority import Policy, make_policy
from quire.scheduling.rates import RateLimit, Refused

__all__ = [
    "AdmissionController",
    "AdmissionLimits",
    "Admitted",
    "BatchedCalls",
    "IndexedHeap",
    "MicroBatcher",
    "Policy",
    "RateLimit",
    "Refused",
    "make_policy",
]
