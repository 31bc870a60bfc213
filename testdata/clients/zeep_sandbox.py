"""An unmodified SOAP client, python zeep, against mezhved sandbox: nobody has
registered it, and no provider is on line.

    zeep_sandbox.py URL SERVICES_DIR

exits 0 when every service answered by its scenarios, and every fault that was
asked for came as an exception of the WSDL.
"""
import datetime
import pathlib
import sys
import tempfile
import time
import urllib.request
import uuid

import zeep
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from lxml import etree

from zeep_exchange import ROUNDS, Signer, content, expect, fault_of


def make_key(folder):
    """A key and a certificate that nobody knows."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "zeep")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30)).sign(key, hashes.SHA256())
    )
    pkcs8 = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*pkcs8))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return folder


def try_version(base, version, folder, services):
    wsdl = "%s/smev/%s/ws?wsdl" % (base, ROUNDS[version])
    print("SMEV %s through %s" % (version, wsdl))
    client = zeep.Client(wsdl, plugins=[Signer(folder)])
    pages = []  # of one's own calls, as answers to polls name it
    client.transport.session.hooks["response"] = lambda r, *_, **__: pages.append(r.headers.get("X-Mezhved-Sandbox-Calls"))

    def send(document):
        data = {"MessageID": str(uuid.uuid1()), "MessagePrimaryContent": {"_value_1": document}}
        return client.service.SendRequest(SenderProvidedRequestData=data).MessageMetadata.MessageId

    def next_answer(to):
        for _ in range(600):
            stamp = datetime.datetime.now(datetime.timezone.utc)
            answer = client.service.GetResponse(MessageTypeSelector={"Timestamp": stamp})
            if answer is not None:
                data = answer.Response.SenderProvidedResponseData
                expect("in answer to", answer.Response.OriginalMessageId, to)
                client.service.Ack(AckTargetMessage={"_value_1": data.MessageID, "Id": "SIGNED_BY_CALLER", "accepted": True})
                return data
            time.sleep(0.1)
        sys.exit("no answer came")

    egrul, family = services / "egrul-extract" / "2.0.0", services / "family-benefits" / "1.0.0"
    answer = next_answer(send(content(egrul / "samples" / "request.xml")))
    expect("root of the answer", etree.QName(answer.MessagePrimaryContent._value_1).localname, "ВыпискаЮЛ")
    rejected = next_answer(send(content(egrul / "scenarios" / "request-404.xml")))
    expect("rejected", rejected.RequestRejected[0].RejectionReasonCode, "NO_DATA")
    benefits = send(content(family / "samples" / "request.xml"))
    expect("first status", next_answer(benefits).RequestStatus.StatusCode, 1)
    expect("second status", next_answer(benefits).RequestStatus.StatusCode, 2)
    total = next_answer(benefits).MessagePrimaryContent._value_1.find("{*}Total")
    expect("sum of the answer", total.text, "25800.75")

    for fault in ("AccessDenied", "DestinationOverflow", "TransactionCodeInvalid", "SMEVFailure"):
        asks = content(egrul / "samples" / "request.xml")
        asks.find(".//{*}CaseNumber").text = "fault:" + fault
        expect("asked for by the content", fault_of(lambda: send(asks))[0], fault)
    client.transport.session.headers["X-Mezhved-Fault"] = "SenderIsNotRegistered"
    expect("asked for by a header", fault_of(lambda: send(content(egrul / "samples" / "request.xml")))[0], "SenderIsNotRegistered")
    return next(p for p in pages if p)


def main():
    base, services = sys.argv[1].rstrip("/"), pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as name:
        folder = make_key(pathlib.Path(name))
        for version in ROUNDS:
            own = try_version(base, version, folder, services)
    page = urllib.request.urlopen(base + own).read().decode()
    expect("the page knows the client", "TEST0001" in page, True)
    print("zeep %s: the sandbox answered as its scenarios say" % zeep.__version__)


if __name__ == "__main__":
    main()
