/** The server over a live state: REST, WebSocket, metrics and the page. */
export { type RunningServer, type ServerOptions, startServer } from './server.ts';
