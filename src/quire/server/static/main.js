import { start as startChat } from "/static/chat/chat.js";
import { start as startChoice } from "/static/library/choice.js";
import { start as startSearch } from "/static/library/search.js";
import { start as startLive } from "/static/live/live.js";

startChat();
startSearch();
startChoice();  // behind those who are told of it
startLive();
