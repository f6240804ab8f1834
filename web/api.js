/** The server: REST requests and the stream, with the access token where one is needed. */

const TOKEN_KEY = 'barcast-token';
const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

/** The token of `?token=`, kept for this tab and taken out of the address bar. */
const token = (() => {
  const url = new URL(location.href);
  const given = url.searchParams.get('token');
  if (given === null) return sessionStorage.getItem(TOKEN_KEY);
  sessionStorage.setItem(TOKEN_KEY, given);
  url.searchParams.delete('token');
  history.replaceState(null, '', url);
  return given;
})();

export class RequestError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The JSON of a path under /api/v1. @throws RequestError for an answer that is an error; its status is 0 for none */
export async function get(path) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  const failed = (error) => {
    throw new RequestError(0, error.message);
  };
  const response = await fetch(`/api/v1/${path}`, { headers }).catch(failed);
  const body = await response.json().catch(failed);
  if (!response.ok) throw new RequestError(response.status, body.error?.message ?? response.statusText);
  return body;
}

/**
 * Follows the stream and connects again after every loss, until the server asks for a token.
 *
 * @param onMessage called with every message
 * @param onState called with 'connecting', 'open', 'lost' (and when it is tried again) or 'refused'
 */
export function follow(onMessage, onState) {
  let pause = FIRST_PAUSE_MS;
  const connect = () => {
    onState('connecting');
    const query = token === null ? '' : `?token=${encodeURIComponent(token)}`;
    const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/api/v1/stream${query}`);
    socket.addEventListener('open', () => {
      pause = FIRST_PAUSE_MS;
      onState('open');
    });
    socket.addEventListener('message', (event) => onMessage(JSON.parse(event.data)));
    socket.addEventListener('close', async () => {
      if (await isRefused()) return onState('refused');
      onState('lost', pause);
      setTimeout(connect, pause);
      pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
    });
  };
  connect();
}

/** A refused WebSocket does not say why; a request does. */
async function isRefused() {
  try {
    await get('model');
    return false;
  } catch (error) {
    return error instanceof RequestError && error.status === 401;
  }
}
