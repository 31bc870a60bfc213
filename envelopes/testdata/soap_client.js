// Loads the WSDL with the npm package soap as it is and calls operations.
// Usage: node soap_client.js WSDL_URL VERSION. Prints one JSON object.
const soap = require('soap');

const [url, version] = process.argv.slice(2);
const id = 'b5a7f0a0-5a10-11ee-8c99-0242ac120002';
const endpoint = 'SMEVMessageExchangeService';

(async () => {
  const client = await soap.createClientAsync(url);
  const out = { operations: Object.keys(client.describe()[endpoint].SMEVMessageExchangeEndpoint).sort() };
  const selector = { MessageTypeSelector: { attributes: { Id: 'SIGNED_BY_CALLER' }, Timestamp: '2026-02-27T07:01:04.000+03:00' } };
  const [got] = await client.GetRequestAsync(selector);
  const request = got.RequestMessage.Request;
  out.mnemonic = request.MessageMetadata.Sender.Mnemonic;
  out.status = request.MessageMetadata.Status;
  out.replyTo = request.ReplyTo;
  out.content = Object.keys(request.SenderProvidedRequestData.MessagePrimaryContent).find((k) => k !== 'attributes');
  const [empty] = await client.GetResponseAsync(selector);
  out.empty = empty === null || empty.ResponseMessage === undefined;
  const [receipt] = await client.SendRequestAsync({
    SenderProvidedRequestData: {
      attributes: { Id: 'SIGNED_BY_CONSUMER' }, MessageID: id,
      MessagePrimaryContent: { $xml: '<t:Root xmlns:t="urn://test/1">текст</t:Root>' },
      AttachmentHeaderList: { AttachmentHeader: [{ contentId: 'a1', MimeType: 'text/plain' }] },
    },
    AttachmentContentList: { AttachmentContent: [{ Id: 'a1', Content: 'aGVsbG8=' }] },
  });
  out.receipt = receipt.MessageMetadata.MessageId;
  try {
    await client.AckAsync({ AckTargetMessage: { attributes: { Id: 'SIGNED_BY_CALLER', accepted: 'true' }, $value: id } });
  } catch (e) {
    const fault = e.root.Envelope.Body.Fault;
    out.fault = fault.faultstring;
    out.detail = Object.keys(fault.detail)[0];
    out.description = fault.detail[out.detail].Description;
  }
  console.log(JSON.stringify(out));
})().catch((e) => { console.error(e); process.exit(1); });
