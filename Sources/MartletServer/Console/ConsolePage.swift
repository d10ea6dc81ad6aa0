/// The console: one page, its script and its style, with nothing from elsewhere.
///
/// The key that is typed in lives in the page's memory only. Everything that the server says is shown as text, never
/// as markup, and the policy of the page allows no other script.
enum ConsolePage {
    static let policy =
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
        + "form-action 'none'; frame-ancestors 'none'"

    static let html = """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <title>Martlet</title>
        <link rel="stylesheet" href="/console.css">
        </head>
        <body>
        <header><h1>Martlet</h1>
        <form id="login"><label>API key <input id="key" type="password" autocomplete="off" spellcheck="false"></label>
        <button>Show</button></form></header>
        <p id="message" role="status">Type an API key; on this machine it is in the file admin.key of the home.</p>
        <main hidden>
        <section><h2>Deployments</h2><table id="deployments"></table></section>
        <section><h2>Jobs</h2><table id="jobs"></table></section>
        <section><h2>Models</h2><table id="models"></table></section>
        <section><h2>Datasets</h2><table id="datasets"></table></section>
        <section><h2>Ask a deployment</h2>
        <form id="ask"><label>Deployment <input id="name" required></label>
        <label>Rows, as JSON <textarea id="rows" rows="4">[{}]</textarea></label><button>Predict</button></form>
        <pre id="answer"></pre></section>
        </main>
        <script src="/console.js"></script>
        </body>
        </html>

        """

    static let style = """
        :root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
        body { max-width: 72rem; margin: 0 auto; padding: 1rem; }
        header { display: flex; flex-wrap: wrap; gap: 1rem; align-items: baseline; justify-content: space-between; }
        h1 { font-size: 1.4rem; margin: 0; }
        h2 { font-size: 1.1rem; margin: 1.5rem 0 .3rem; }
        table { width: 100%; border-collapse: collapse; }
        th, td { text-align: left; padding: .25rem .75rem .25rem 0; vertical-align: top; overflow-wrap: anywhere; }
        th, td { border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); }
        textarea { display: block; width: 100%; font-family: ui-monospace, monospace; }
        pre { overflow-x: auto; }

        """

    static let script = """
        "use strict";
        let key = "";
        const at = id => document.getElementById(id);
        const say = text => { at("message").textContent = text; };
        async function ask(path, options = {}) {
          const headers = { "Authorization": "Bearer " + key, "Content-Type": "application/json" };
          const response = await fetch(path, { ...options, headers });
          const answer = await response.json();
          if (!response.ok) throw new Error(answer.error.message);
          return answer;
        }
        function fill(id, columns, rows) {
          const table = at(id);
          table.replaceChildren();
          const line = (cells, kind) => {
            const row = table.insertRow();
            for (const cell of cells) {
              const element = document.createElement(kind);
              element.textContent = cell === null || cell === undefined ? "" : String(cell);
              row.append(element);
            }
          };
          line(columns, "th");
          for (const row of rows) line(row, "td");
        }
        function progress(job) {
          const p = job.progress;
          if (!p || !p.totalSteps) return "";
          const loss = p.loss === undefined ? "" : "  loss " + p.loss.toFixed(4);
          return p.phase + " " + p.step + "/" + p.totalSteps + loss;
        }
        function metrics(model) {
          const test = model.card.metrics.test || model.card.metrics.validation || {};
          return Object.entries(test).slice(0, 3).map(([name, value]) => name + " " + value.toFixed(4)).join(", ");
        }
        async function refresh() {
          const list = async name => (await ask("/api/v1/" + name)).data;
          const [deployments, jobs, models, datasets] =
            await Promise.all(["deployments", "jobs", "models", "datasets"].map(list));
          fill("deployments", ["Name", "Model", "Ready", "Replicas"],
            deployments.map(d => [d.name, d.model, d.ready ? "yes" : "no", d.replicas]));
          fill("jobs", ["Id", "Kind", "Name", "State", "Progress", "Model"],
            jobs.map(j => [j.id, j.kind, j.name, j.state, progress(j), j.model]));
          fill("models", ["Name", "Version", "Made", "Metrics"],
            models.map(m => [m.name, m.version, m.created_at, metrics(m)]));
          fill("datasets", ["Name", "Version", "Files", "Bytes"],
            datasets.map(d => [d.name, d.version, d.files.length, d.bytes]));
          say("Shown at " + new Date().toLocaleTimeString() + "; renewed every five seconds.");
          document.querySelector("main").hidden = false;
        }
        let timer;
        at("login").addEventListener("submit", event => {
          event.preventDefault();
          key = at("key").value.trim();
          clearInterval(timer);
          const renew = () => refresh().catch(error => { say(error.message); });
          renew();
          timer = setInterval(renew, 5000);
        });
        at("ask").addEventListener("submit", async event => {
          event.preventDefault();
          try {
            const path = "/api/v1/deployments/" + encodeURIComponent(at("name").value) + "/predict";
            const body = JSON.stringify({ rows: JSON.parse(at("rows").value) });
            at("answer").textContent = JSON.stringify(await ask(path, { method: "POST", body }), null, 2);
          } catch (error) {
            at("answer").textContent = error.message;
          }
        });

        """
}
