// Flows of the official JavaScript client against a running fleet; prints one JSON document.
// Usage: node flows.mjs URL, such as http://127.0.0.1:8765
import {
  BatchRequestContent,
  BatchResponseContent,
  Client,
  GraphError,
  PageIterator,
} from "@microsoft/microsoft-graph-client";

const url = process.argv[2];
const DEVICES = "/deviceManagement/managedDevices";
const client = Client.init({
  baseUrl: url,
  customHosts: new Set([new URL(url).hostname]),
  authProvider: (done) => done(null, "local"),
});
const beta = Client.init({
  baseUrl: url,
  defaultVersion: "beta",
  authProvider: (done) => done(null, "local"),
});

async function waitFor(id, action, until) {
  for (let tries = 0; tries < 200; tries += 1) {
    const device = await client.api(`${DEVICES}/${id}`).get();
    const found = device.deviceActionResults.find((result) => result.actionName === action);
    if (found && until(found)) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`${action} on ${id} did not end`);
}

async function everyPage() {
  const names = [];
  let page = await client.api(DEVICES).top(3).get();
  const first = page.value.length;
  while (true) {
    names.push(...page.value.map((device) => device.deviceName));
    if (!page["@odata.nextLink"]) return { first, names };
    page = await client.api(page["@odata.nextLink"]).get();
  }
}

async function iterated() {
  const names = [];
  const page = await client.api(DEVICES).top(3).select("id,deviceName").get();
  const iterator = new PageIterator(client, page, (device) => {
    names.push(device.deviceName);
    return true;
  });
  await iterator.iterate();
  return names;
}

async function refused(request) {
  try {
    await request();
  } catch (error) {
    return {
      graphError: error instanceof GraphError,
      status: error.statusCode,
      code: error.code,
      requestId: error.requestId,
    };
  }
  return null;
}

async function batched() {
  const request = (path, method) => new Request(`https://graph.microsoft.com/v1.0${path}`, { method });
  const content = new BatchRequestContent([
    { id: "1", request: request(`${DEVICES}/android-002/remoteLock`, "POST") },
    { id: "2", request: request(`${DEVICES}/android-002`, "GET"), dependsOn: ["1"] },
    { id: "3", request: request(`${DEVICES}/nobody`, "GET"), dependsOn: ["2"] },
  ]);
  const answered = await client.api("/$batch").post(await content.getContent());
  const responses = new BatchResponseContent(answered);
  return {
    statuses: ["1", "2", "3"].map((id) => responses.getResponseById(id).status),
    name: (await responses.getResponseById("2").json()).deviceName,
  };
}

const filtered = await client
  .api(DEVICES)
  .filter("operatingSystem eq 'iOS' and startswith(deviceName,'ios')")
  .orderby("deviceName desc")
  .count(true)
  .get();
const android = (await client.api(DEVICES).filter("deviceName eq 'android-001'").get()).value[0];
const answer = await client.api(`${DEVICES}/${android.id}/resetPasscode`).post({});
const reset = await waitFor(android.id, "resetPasscode", (found) => found.actionState === "done");

console.log(
  JSON.stringify({
    pages: await everyPage(),
    iterated: await iterated(),
    filtered: filtered.value.map((device) => device.deviceName),
    mine: (await client.api("/me/managedDevices").header("x-passfleet-user", "kim").get()).value.map(
      (device) => device.deviceName,
    ),
    beta: (await beta.api(`${DEVICES}('ios-001')`).get()).deviceName,
    answer: answer ?? null,
    reset,
    missing: await refused(() => client.api(`${DEVICES}/nobody`).get()),
    unknown: await refused(() => client.api(`${DEVICES}/${android.id}/locateDevice`).post({})),
    batch: await batched(),
  }),
);
