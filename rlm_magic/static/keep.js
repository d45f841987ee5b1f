// Keeps the widget's state in the notebook, so that it is shown there without a kernel.

/** Keep the widget's state in the notebook, where the front end lets us: JupyterLab only does so if told to. */
async function keep(widget) {
  const manager = widget.widget_manager;
  const notebook = manager?.context?.model;
  if (!notebook?.setMetadata || !manager.get_state) return;
  const type = "application/vnd.jupyter.widget-state+json";
  const { state } = await manager.get_state({ drop_defaults: true });
  const own = widget.get("key");
  const layout = String(state[own]?.state.layout).replace("IPY_MODEL_", "");
  const before = notebook.getMetadata("widgets")?.[type]?.state ?? {};
  if (before[own]?.state.saved === state[own]?.state.saved) return;
  const outputs = JSON.stringify(notebook.toJSON().cells);
  if (!outputs.includes(own)) return; // its cell was run again, or is gone, while the run went on in the background
  const kept = Object.entries(before).filter(([id, each]) => {
    const tree = each.state._anywidget_id === state[own]?.state._anywidget_id;
    return !tree || outputs.includes(id); // trees of earlier runs of the cell are in nobody's output
  });
  const all = { ...Object.fromEntries(kept), [own]: state[own], ...(state[layout] ? { [layout]: state[layout] } : {}) };
  notebook.setMetadata("widgets", { [type]: { version_major: 2, version_minor: 0, state: all } });
}
