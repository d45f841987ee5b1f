// The one-file page: reads the data in it and shows the call tree.

async function begin() {
  const wait = document.getElementById("wait");
  const blocks = [...document.querySelectorAll("script.data")].map((element) => ({
    form: element.dataset.form, text: () => element.textContent, done: () => element.remove(),
  }));
  wait.hidden = false;
  wait.textContent = "Opening the call tree …";
  try {
    const model = new Model();
    await load(model, blocks, (share) => {
      wait.textContent = `Opening the call tree … ${Math.round(100 * share)} %`;
    });
    const element = document.getElementById("app");
    element.hidden = false;
    const app = new App(model, element);
    const answer = document.querySelector("header .answer");
    if (answer && model.run.led) new Led(app, answer);
    document.addEventListener("keydown", (event) => event.defaultPrevented || app.slash(event));
    wait.hidden = true;
    performance.mark("open");
  } catch (error) {
    wait.textContent = `The call tree could not be opened: ${error.message}.`;
    throw error;
  }
}

begin();
