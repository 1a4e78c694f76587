// Shell. Routes in and out as files: import with a look before, export.

import type { JSX } from "preact";
import { useRef, useState } from "preact/hooks";
import { addressOf, call } from "../shell/api.ts";
import { ChangeDialog, type PlannedChange, whyPart } from "./change_dialog.tsx";
import { plural } from "../parts/format.ts";
import { Icon } from "../parts/icons.tsx";
import { may, notify } from "../shell/state.ts";
import { Field } from "../parts/fields.tsx";
import { PageHead } from "../parts/widgets.tsx";

/** Most characters the server takes. */
const TEXT_MAX = 8_000_000;

/** What a file looks like. */
const EXAMPLE = "modid,cmdid,ip,port,weight,zone,state\n1,2,10.0.0.1,7777,100,a,on";

/** JSON starts with a bracket; everything else is taken for CSV. */
function formatOf(text: string): "csv" | "json" {
  return /^\s*[[{]/.test(text) ? "json" : "csv";
}

function importOf(text: string, isPruned: boolean): PlannedChange {
  const file = { format: formatOf(text), text, prune: isPruned };
  return {
    title: "Import routes",
    action: "Import",
    isDangerous: isPruned,
    preview: () => call("previewImport", { body: file }),
    apply: (why, expect) => call("importRoutes", { body: { ...file, expect, ...whyPart(why) } }),
  };
}

function FileText(props: {
  text: string;
  onText: (text: string) => void;
  onFile: (file: File | undefined) => void;
}): JSX.Element {
  const { text } = props;
  const isTooLong = text.length > TEXT_MAX;
  return (
    <Field
      label="CSV or JSON"
      hint={text === ""
        ? "Paste it, drop a file here, or choose one. Columns: modid, cmdid, ip, port, weight, zone, state."
        : `${formatOf(text).toUpperCase()}, ${plural(text.trimEnd().split("\n").length, "line")}`}
      fault={isTooLong ? "At most 8 MB." : undefined}
    >
      {(parts) => (
        <textarea
          {...parts}
          class="mono"
          rows={10}
          spellcheck={false}
          data-key="f"
          placeholder={EXAMPLE}
          value={text}
          onInput={(event) => props.onText(event.currentTarget.value)}
          onDragOver={(event) => event.preventDefault()}
          onDrop={(event) => {
            event.preventDefault();
            props.onFile(event.dataTransfer?.files[0]);
          }}
        />
      )}
    </Field>
  );
}

function Import(): JSX.Element {
  const [text, setText] = useState("");
  const [isPruned, setPruned] = useState(false);
  const [change, setChange] = useState<PlannedChange>();
  const upload = useRef<HTMLInputElement>(null);
  const isTooLong = text.length > TEXT_MAX;
  const read = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    if (file.size > TEXT_MAX) notify("crit", `${file.name} is larger than 8 MB`);
    else setText(await file.text());
  };
  return (
    <section class="panel" aria-labelledby="import">
      <h2 id="import">Import</h2>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          if (text.trim() !== "" && !isTooLong) setChange(importOf(text, isPruned));
        }}
      >
        <FileText text={text} onText={setText} onFile={(file) => void read(file)} />
        <label class="check">
          <input
            type="checkbox"
            checked={isPruned}
            onInput={(event) => setPruned(event.currentTarget.checked)}
          />
          Remove nodes that the file does not have
        </label>
        <p class="buttons">
          <button
            type="submit"
            class="primary"
            disabled={text.trim() === "" || isTooLong}
          >
            Preview
          </button>
          <button type="button" onClick={() => upload.current?.click()}>Choose a file</button>
          <input
            ref={upload}
            type="file"
            class="hidden"
            tabIndex={-1}
            aria-label="File to import"
            accept=".csv,.json,text/csv,application/json"
            onChange={(event) => void read(event.currentTarget.files?.[0])}
          />
        </p>
      </form>
      {change !== undefined && (
        <ChangeDialog
          change={{ ...change, onDone: () => setText("") }}
          onClose={() => setChange(undefined)}
        />
      )}
    </section>
  );
}

/** Import and export. */
export function TransferPage(): JSX.Element {
  return (
    <>
      <PageHead title="Import, export" about="All routes as one file, out and in again" />
      <section class="panel" aria-labelledby="export">
        <h2 id="export">Export</h2>
        <p class="buttons">
          <a
            class="button"
            href={addressOf("exportRoutes", { query: { format: "csv" } })}
            download="routes.csv"
          >
            <Icon name="download" />CSV
          </a>
          <a
            class="button"
            href={addressOf("exportRoutes", { query: { format: "json" } })}
            download="routes.json"
          >
            <Icon name="download" />JSON
          </a>
          <span class="muted">Every node of every module, as the import takes it.</span>
        </p>
      </section>
      {may("operator") && <Import />}
    </>
  );
}
