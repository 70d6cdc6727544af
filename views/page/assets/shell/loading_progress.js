// While the records of a long recording are read, the page says so and shows nothing of the run.

// So many records behind the newest one are no more than a moment of a fast loop.
const FEW_RECORDS = 200_000;

class LoadingProgress {
  constructor() {
    this.read = 0;
    this.isLoading = false;
    this.show();
  }

  // `left`: how many records the server has not sent yet.
  add({ left = 0, count = 0 }) {
    this.read += count;
    this.left = left;
    this.isLoading = left > (this.isLoading ? 0 : FEW_RECORDS);
    this.show();
  }

  show() {
    const place = byId("loading");
    place.hidden = !this.isLoading;
    document.body.classList.toggle("is-loading", this.isLoading);
    if (!this.isLoading) return;
    const share = this.read / (this.read + this.left);
    setText(place, `Reading the recording: ${Math.floor(100 * share)} %`);
    setText(byId("path"), "loading");
    byId("pill").dataset.status = "loading";
  }
}
