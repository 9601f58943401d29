import { start as startChat } from "/static/chat.js";
import { start as startLive } from "/static/live.js";

startChat();
startLive();
