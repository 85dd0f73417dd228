// The page and its subject stand behind the # of the address, so that links and "back" work.

class Route {
  page = $state('');
  /** What the page is about, for example a vehicle's id. */
  subject = $state('');

  constructor() {
    this.read();
    addEventListener('hashchange', () => this.read());
  }

  private read() {
    const [page = '', subject = ''] = location.hash.replace(/^#\//, '').split('/');
    this.page = page;
    try {
      this.subject = decodeURIComponent(subject);
    } catch {
      // A broken address is about nothing.
      this.subject = '';
    }
  }
}

export const route = new Route();
export const goTo = (page: string, subject?: string) =>
  (location.hash = subject ? `#/${page}/${encodeURIComponent(subject)}` : `#/${page}`);
