"""Loads the WSDL with zeep as it is and calls every operation once.

Usage: zeep_client.py WSDL_URL VERSION. Prints one JSON object.
"""
import datetime
import json
import sys

import zeep
from lxml import etree

url, version = sys.argv[1], sys.argv[2]
ns = "urn://x-artefacts-smev-gov-ru/services/message-exchange/types/"
client = zeep.Client(url)
service = client.service
when = datetime.datetime(2026, 2, 27, 7, 1, 4, tzinfo=datetime.timezone(datetime.timedelta(hours=3)))
signature = etree.fromstring('<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo/></ds:Signature>')
message_id = "b5a7f0a0-5a10-11ee-8c99-0242ac120002"
out = {"operations": sorted(service._operations)}

selector = {"Timestamp": when, "Id": "SIGNED_BY_CALLER"}
signed = {"_value_1": signature}
got = service.GetRequest(MessageTypeSelector=selector, CallerInformationSystemSignature=signed)
request = got.Request if hasattr(got, "Request") and got.Request is not None else got
out["mnemonic"] = request.MessageMetadata.Sender.Mnemonic
out["status"] = request.MessageMetadata.Status
out["replyTo"] = request.ReplyTo
content = request.SenderProvidedRequestData.MessagePrimaryContent._value_1
out["content"] = etree.QName(content).localname if not isinstance(content, dict) else str(content)

out["empty"] = service.GetResponse(MessageTypeSelector=selector, CallerInformationSystemSignature=signed) is None

content = etree.fromstring('<t:Root xmlns:t="urn://test/1">текст</t:Root>')
receipt = service.SendRequest(
    SenderProvidedRequestData={
        "Id": "SIGNED_BY_CONSUMER", "MessageID": message_id, "MessagePrimaryContent": {"_value_1": content},
        "AttachmentHeaderList": {"AttachmentHeader": [{"contentId": "a1", "MimeType": "text/plain"}]},
    },
    AttachmentContentList={"AttachmentContent": [{"Id": "a1", "Content": b"hello"}]},
    CallerInformationSystemSignature=signed,
)
out["receipt"] = receipt.MessageMetadata.MessageId

try:
    service.Ack(AckTargetMessage={"_value_1": message_id, "Id": "SIGNED_BY_CALLER", "accepted": True}, CallerInformationSystemSignature=signed)
except zeep.exceptions.Fault as fault:
    out["fault"] = fault.message
    detail = fault.detail[0]
    out["detail"] = detail.tag
    parsed = client.get_element(detail.tag).parse(detail, client.wsdl.types)
    out["description"] = parsed.Description
print(json.dumps(out))
