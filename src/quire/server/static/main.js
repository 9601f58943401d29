import { start as startChat } from "/static/chat/chat.js";
import { start as startChoice } from "/static/library/choice.js";
import { start as startCollections } from "/static/library/collections.js";
import { start as startDocuments } from "/static/library/documents.js";
import { start as startSearch } from "/static/library/search.js";
import { start as startLive } from "/static/live/live.js";

startChat();
startSearch();
startDocuments();
startCollections();
startChoice();  // behind those who are told of it
startLive();
