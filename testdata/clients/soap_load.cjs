// The WSDLs of the gateway loaded by an unmodified SOAP client, the soap package
// of Node.js: it must find every operation, and a call without a signature must
// come back as the fault that says so.
//
//   node soap_load.cjs URL
const soap = require("soap");

const operations = {
  "1.1": ["SendRequest", "SendResponse", "GetRequest", "GetResponse", "GetStatus", "Ack", "GetIncomingQueueStatistics"],
  "1.2": ["SendRequest", "SendResponse", "GetRequest", "GetResponse", "GetStatus", "Ack"],
  "1.3": ["SendRequest", "SendResponse", "GetRequest", "GetResponse", "GetStatus", "Ack"],
};

async function check(base, version) {
  const client = await soap.createClientAsync(`${base}/smev/v${version}/ws?wsdl`);
  const service = Object.values(client.describe())[0];
  const port = Object.values(service)[0];
  for (const name of operations[version]) {
    if (!port[name]) throw new Error(`SMEV ${version}: operation ${name} is missing`);
  }
  try {
    await client.GetRequestAsync({ MessageTypeSelector: { attributes: { Id: "SIGNED_BY_CALLER" }, Timestamp: new Date().toISOString() } });
  } catch (err) {
    const detail = err.root && err.root.Envelope && err.root.Envelope.Body.Fault.detail;
    const name = detail && Object.keys(detail)[0];
    if (name !== "SignatureVerificationFault") throw new Error(`SMEV ${version}: unsigned call answered by ${name || err.message}`);
    console.log(`  SMEV ${version}: ${Object.keys(port).length} operations; unsigned call: ${name}`);
    return;
  }
  throw new Error(`SMEV ${version}: an unsigned call was answered`);
}

(async () => {
  for (const version of Object.keys(operations)) await check(process.argv[2].replace(/\/$/, ""), version);
  console.log("soap for Node.js: every WSDL loaded, every answer as it should be");
})().catch((err) => {
  console.error(err.message);
  process.exit(1);
});
