// While the records of a recording are read, the page says so and shows nothing of the run.

// What the page has not read of a run that it shows may be as old as this.
const A_MOMENT = 1e9;

class LoadingProgress {
  constructor() {
    Object.assign(this, { read: 0, left: 0, hasAll: false, isLoading: true, problem: "" });
    this.show();
  }

  // `left`: how many records the server has not sent yet; `behind`: how old the first of them is.
  add({ left = 0, count = 0 }, behind) {
    this.read += count;
    this.left = left;
    this.isLoading = left > 0 && (!this.hasAll || behind > A_MOMENT);
    this.hasAll ||= left === 0;
    if (this.isLoading) this.show();
  }

  // Why nothing comes; empty if something does.
  explain(problem) {
    this.problem = problem;
    this.show();
  }

  show() {
    const place = byId("loading");
    place.hidden = !this.isLoading;
    document.body.classList.toggle("is-loading", this.isLoading);
    if (!this.isLoading) return;
    const share = this.read / (this.read + this.left);
    const percent = this.read ? `: ${Math.floor(100 * share)} %` : "";
    setText(place, this.problem || `Reading the recording${percent}`);
    setText(byId("path"), "loading");
    byId("pill").dataset.status = "loading";
  }
}
