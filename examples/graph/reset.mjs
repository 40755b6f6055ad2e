// Resets a device's passcode with Microsoft's own client, and prints the new one.
// Usage: npm ci && node reset.mjs URL DEVICE, such as: node reset.mjs http://127.0.0.1:8765 android-001
import { Client } from "@microsoft/microsoft-graph-client";

const DEVICES = "/deviceManagement/managedDevices";
const FINAL = new Set(["done", "failed", "notSupported", "canceled"]);
const [url, name] = process.argv.slice(2);
const client = Client.init({
  baseUrl: url,
  authProvider: (done) => done(null, process.env.GRAPH_TOKEN ?? "local"),
});

const wanted = name.replaceAll("'", "''");
const found = await client.api(DEVICES).filter(`deviceName eq '${wanted}'`).select("id").get();
if (found.value.length === 0) {
  console.error(`there is no device ${name}`);
  process.exit(1);
}
const device = `${DEVICES}/${found.value[0].id}`;
await client.api(`${device}/resetPasscode`).post({});
for (let tries = 0; tries < 300; tries += 1) {
  const { deviceActionResults } = await client.api(device).get();
  const result = deviceActionResults.find(
    (each) => each.actionName === "resetPasscode" && FINAL.has(each.actionState),
  );
  if (result) {
    console.log(result.actionState, result.passcode ?? "no passcode to show");
    process.exit(result.actionState === "done" ? 0 : 1);
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
}
console.error(`${name} has not answered; is it offline?`);
process.exit(1);
