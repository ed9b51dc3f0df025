// Requests that were recorded, as they were recorded: a recording answers nothing else.

/** The bundled examples; the requests are files beside this one. */
export const EXAMPLES = [
  { name: "weather", title: "Four years of weather", text: "Reads a real table, writes a summary and a chart. The first program fails on the data.", data: ["seattle-weather.csv"] },
  { name: "human-eval-065", title: "Shift the digits", text: "A small function with unit tests. The first attempt is wrong." },
  { name: "hopeless", title: "The largest prime", text: "Cannot be done; ends honestly at its limit." },
];

export const RECORDINGS = ["weather", "human-eval-001", "human-eval-010", "human-eval-065", "human-eval-108", "human-eval-127", "hopeless", "endless"];

async function fetched(path) {
  const response = await fetch(path);
  if (!response.ok) throw new Error(`The example is not installed (${path}).`);
  return response;
}

/** {request, files}: what to fill in, what to upload. */
export async function load(example) {
  const request = await (await fetched(`/example-${example.name}.json`)).json();
  const files = [];
  for (const name of example.data || [])
    files.push(new File([await (await fetched(`/${name}`)).blob()], name, { type: "text/csv" }));
  return { request, files };
}
