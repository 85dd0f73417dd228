// The page, its subject and its state stand behind the # of the address, so that links, reloads and "back" work:
// `#/page/subject?name=value`.

type State = Readonly<Record<string, string>>;

class Route {
  page = $state('');
  /** What the page is about, for example a vehicle's id. */
  subject = $state('');
  /** What the page was asked for: filters, times, a search. */
  state = $state.raw<State>({});

  constructor() {
    this.read();
    addEventListener('hashchange', () => this.read());
  }

  private read() {
    const [path = '', query = ''] = location.hash.replace(/^#\//, '').split(/\?(.*)/s);
    const [page = '', subject = ''] = path.split('/');
    this.page = page;
    this.state = Object.fromEntries(new URLSearchParams(query));
    try {
      this.subject = decodeURIComponent(subject);
    } catch {
      // A broken address is about nothing.
      this.subject = '';
    }
  }

  /** The address was of no page of these people: it is of this one now. */
  settle(page: string) {
    [this.page, this.subject, this.state] = [page, '', {}];
    history.replaceState(history.state, '', `#/${page}`);
  }

  /** Writes the state of the page that is shown; what is empty is left out. "Back" leaves the page, not the state. */
  keep(state: Record<string, string | undefined>) {
    const given = Object.entries(state).filter((pair): pair is [string, string] => Boolean(pair[1]));
    this.state = Object.fromEntries(given);
    const query = new URLSearchParams(given).toString();
    const path = this.subject ? `${this.page}/${encodeURIComponent(this.subject)}` : this.page;
    history.replaceState(history.state, '', `#/${path}${query && `?${query}`}`);
  }
}

export const route = new Route();
export const goTo = (page: string, subject?: string) =>
  (location.hash = subject ? `#/${page}/${encodeURIComponent(subject)}` : `#/${page}`);
