import assert from "node:assert/strict";
import { test } from "node:test";
import { renderMetrics } from "./metrics_text.ts";

test("renderMetrics() writes help, type and values, those of one name together", () => {
  const help = "A\nhelp \\ text.";
  const text = renderMetrics([
    { name: "a_total", help, type: "counter", samples: [{ labels: { x: 'q"\\\n' }, value: 1 }] },
    { name: "b", help: "B.", type: "gauge", samples: [{ value: -0.5 }, { value: NaN }] },
    { name: "none", help: "", type: "gauge", samples: [] },
    { name: "a_total", help, type: "counter", samples: [{ value: Infinity }] },
  ]);
  assert.equal(
    text,
    "# HELP a_total A\\nhelp \\\\ text.\n# TYPE a_total counter\n" +
      'a_total{x="q\\"\\\\\\n"} 1\na_total +Inf\n' +
      "# HELP b B.\n# TYPE b gauge\nb -0.5\nb NaN\n",
  );
});

test("renderMetrics() refuses bad names and two types of one name", () => {
  const samples = [{ value: 1 }];
  assert.throws(
    () => renderMetrics([{ name: "a-b", help: "", type: "gauge", samples }]),
    TypeError,
  );
  assert.throws(
    () =>
      renderMetrics([
        { name: "a", help: "", type: "gauge", samples },
        { name: "a", help: "", type: "counter", samples },
      ]),
    TypeError,
  );
});
