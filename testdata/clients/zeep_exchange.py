"""One whole exchange by an unmodified SOAP client, python zeep.

The client loads the gateway's WSDL, and everything on the wire is zeep's own:
only the signature is added, by a zeep plug-in, with a signer written here
against the published rules, so that the gateway is checked by other code than
its own. A file goes over the file store, by the ftplib of Python and by MinIO's
client, with the digest of another implementation of GOST R 34.11-2012; what of
these is not installed is left out.

    zeep_exchange.py URL PARTIES_DIR SERVICES_DIR [FTP_ADDRESS]

exits 0 when the exchange went through and every refusal came as announced.
"""
import base64
import ftplib
import io
import os
import pathlib
import sys
import time
import uuid
from datetime import datetime, timezone

import zeep
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from lxml import etree
from zeep.exceptions import Fault

DS = "http://www.w3.org/2000/09/xmldsig#"
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
SMEV = "urn://smev-gov-ru/xmldsig/transform"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
ROUNDS = {"1.1": "v1.1", "1.2": "v1.2", "1.3": "v1.3"}


def escape(text, attribute):
    out = text.replace("&", "&amp;").replace("<", "&lt;")
    if attribute:
        out = out.replace('"', "&quot;").replace("\r", "&#xd;").replace("\n", "&#xa;").replace("\t", "&#x9;")
    return out


def smev_transform(element):
    """The rules 1-8 of the SMEV transform (no '>' and CR occur in the samples)."""
    counter = [0]

    def prefix(uri, scope, declared):
        if uri not in scope:
            counter[0] += 1
            scope[uri] = "ns%d" % counter[0]
            declared.append((scope[uri], uri))
        return scope[uri]

    def write(e, outer):
        scope, declared, attributes = dict(outer), [], []
        name = etree.QName(e)
        tag = prefix(name.namespace, scope, declared) + ":" + name.localname
        qualified = sorted((q for q in map(etree.QName, e.attrib) if q.namespace), key=lambda q: (q.namespace, q.localname))
        plain = sorted(q.localname for q in map(etree.QName, e.attrib) if not q.namespace)
        for q in qualified:
            attributes.append((prefix(q.namespace, scope, declared) + ":" + q.localname, e.attrib[q.text]))
        attributes += [(a, e.attrib[a]) for a in plain]
        out = ["<", tag]
        out += [' xmlns:%s="%s"' % (p, escape(u, True)) for p, u in declared]
        out += [' %s="%s"' % (a, escape(v, True)) for a, v in attributes]
        out.append(">")
        for text, child in [(e.text, None)] + [(c.tail, c) for c in e]:
            if child is not None:
                out.append(write(child, scope))
            if text and any(ord(c) > 0x20 for c in text):
                out.append(escape(text, False))
        out.append("</%s>" % tag)
        return "".join(out)

    return write(element, {}).encode()


class Signer(zeep.Plugin):
    """Signs what each operation prescribes, as the last step before sending."""

    targets = ("SenderProvidedRequestData", "SenderProvidedResponseData", "MessageTypeSelector", "AckTargetMessage", "Timestamp")

    def __init__(self, folder, break_after_signing=False):
        self.key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
        self.der = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).public_bytes(serialization.Encoding.DER)
        self.break_after_signing = break_after_signing

    def egress(self, envelope, http_headers, operation, binding_options):
        call = next(iter(envelope.find("{http://schemas.xmlsoap.org/soap/envelope/}Body")))
        target = next(e for e in call if etree.QName(e).localname in self.targets)
        target.set("Id", "SIGNED_BY_CALLER")
        holder = call.find("{%s}CallerInformationSystemSignature" % etree.QName(call).namespace)
        if holder is None:
            holder = etree.SubElement(call, "{%s}CallerInformationSystemSignature" % etree.QName(call).namespace)
        for child in holder:
            holder.remove(child)
        holder.append(self.sign(target))
        if self.break_after_signing:
            target.find(".//{*}CaseNumber").text = "changed after signing"
        return envelope, http_headers

    def sign(self, target):
        canonical = etree.tostring(target, method="c14n", exclusive=True, with_comments=False)
        digest = hashes.Hash(hashes.SHA256())
        digest.update(smev_transform(etree.fromstring(canonical)))
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            algorithm = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
        else:
            algorithm = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
        info = (
            '<ds:SignedInfo xmlns:ds="%s"><ds:CanonicalizationMethod Algorithm="%s"></ds:CanonicalizationMethod>'
            '<ds:SignatureMethod Algorithm="%s"></ds:SignatureMethod><ds:Reference URI="#%s"><ds:Transforms>'
            '<ds:Transform Algorithm="%s"></ds:Transform><ds:Transform Algorithm="%s"></ds:Transform></ds:Transforms>'
            '<ds:DigestMethod Algorithm="%s"></ds:DigestMethod><ds:DigestValue>%s</ds:DigestValue></ds:Reference></ds:SignedInfo>'
            % (DS, EXC, algorithm, target.get("Id"), EXC, SMEV, SHA256, base64.b64encode(digest.finalize()).decode())
        ).encode()
        if isinstance(self.key, ec.EllipticCurvePrivateKey):
            r, s = utils.decode_dss_signature(self.key.sign(info, ec.ECDSA(hashes.SHA256())))
            size = (self.key.curve.key_size + 7) // 8
            value = r.to_bytes(size, "big") + s.to_bytes(size, "big")
        else:
            value = self.key.sign(info, padding.PKCS1v15(), hashes.SHA256())
        return etree.fromstring(
            b'<ds:Signature xmlns:ds="%s">%s<ds:SignatureValue>%s</ds:SignatureValue><ds:KeyInfo><ds:X509Data>'
            b"<ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>"
            % (DS.encode(), info, base64.b64encode(value), base64.b64encode(self.der))
        )


def content(path):
    return etree.parse(str(path)).getroot()


def expect(what, got, want):
    if got != want:
        sys.exit("%s: got %r, want %r" % (what, got, want))
    print("  %s: %s" % (what, got))


def fault_of(call):
    try:
        call()
    except Fault as fault:
        detail = fault.detail[0]
        return etree.QName(detail).localname, fault.message
    return None, "no fault came"


def exchange(base, version, parties, services):
    wsdl = "%s/smev/%s/ws?wsdl" % (base, ROUNDS[version])
    print("SMEV %s through %s" % (version, wsdl))
    consumer = zeep.Client(wsdl, plugins=[Signer(parties / "MFC01")])
    provider = zeep.Client(wsdl, plugins=[Signer(parties / "FNS01")])
    samples = services / "egrul-extract" / "2.0.0" / "samples"

    def send(client, message_id, document):
        data = {"MessageID": message_id, "MessagePrimaryContent": {"_value_1": document}}
        return client.service.SendRequest(SenderProvidedRequestData=data)

    def selector(root):
        q = etree.QName(root)
        return {"NamespaceURI": q.namespace, "RootElementLocalName": q.localname, "Timestamp": datetime.now(timezone.utc)}

    request, response = content(samples / "request.xml"), content(samples / "response.xml")
    message_id = str(uuid.uuid1())
    receipt = send(consumer, message_id, request)
    expect("request accepted", receipt.MessageMetadata.MessageId, message_id)
    expect("status", receipt.MessageMetadata.Status, "requestIsQueued")

    def poll(operation):
        for _ in range(300):
            answer = operation(MessageTypeSelector=selector(request))
            if answer is not None:
                return answer
            time.sleep(0.1)
        sys.exit("nothing came to the queue")

    taken = poll(provider.service.GetRequest)
    inner = taken.Request
    expect("provider received", inner.SenderProvidedRequestData.MessageID, message_id)
    provider.service.Ack(AckTargetMessage={"_value_1": message_id, "Id": "SIGNED_BY_CALLER", "accepted": True})

    reply_id = str(uuid.uuid1())
    answer = {"MessageID": reply_id, "To": inner.ReplyTo, "MessagePrimaryContent": {"_value_1": response}}
    receipt = provider.service.SendResponse(SenderProvidedResponseData=answer)
    expect("response accepted", receipt.MessageMetadata.MessageId, reply_id)

    taken = poll(consumer.service.GetResponse)
    expect("consumer received", taken.Response.SenderProvidedResponseData.MessageID, reply_id)
    expect("in answer to", taken.Response.OriginalMessageId, message_id)
    consumer.service.Ack(AckTargetMessage={"_value_1": reply_id, "Id": "SIGNED_BY_CALLER", "accepted": True})

    name, text = fault_of(lambda: consumer.service.Ack(AckTargetMessage={"_value_1": reply_id, "Id": "SIGNED_BY_CALLER", "accepted": True}))
    expect("second Ack", name, "TargetMessageIsNotFound")
    broken = zeep.Client(wsdl, plugins=[Signer(parties / "MFC01", break_after_signing=True)])
    name, text = fault_of(lambda: send(broken, str(uuid.uuid1()), content(samples / "request.xml")))
    expect("changed after signing", name, "SignatureVerificationFault")
    bad = content(samples / "request.xml")
    bad.find("{*}ОГРН").text = "9"
    name, text = fault_of(lambda: send(consumer, str(uuid.uuid1()), bad))
    expect("against the schema", name, "InvalidContent")


def file_exchange(base, version, parties, services, address, over_s3):
    """A request with a file in the store: brought, referred to, fetched, gone."""
    try:
        from gostcrypto import gosthash
    except ImportError:
        print("gostcrypto is not here: the exchange of a file is left out")
        return
    try:
        from minio import Minio
    except ImportError:
        if over_s3:
            print("minio is not here: the exchange of a file over S3 is left out")
            return
    host, port = address.rsplit("/", 1)[-1].split(":")

    def s3(user, password):
        return Minio(base.split("://")[1], access_key=user, secret_key=password, secure=False)

    def ftp(user, password):
        client = ftplib.FTP(timeout=30, encoding="utf-8")
        client.connect(host, int(port))
        client.login(user, password)
        return client

    wsdl = "%s/smev/%s/ws?wsdl" % (base, ROUNDS[version])
    print("SMEV %s, a file over %s" % (version, "S3" if over_s3 else address))
    consumer = zeep.Client(wsdl, plugins=[Signer(parties / "MFC01")])
    provider = zeep.Client(wsdl, plugins=[Signer(parties / "FNS01")])
    request = content(services / "egrul-extract" / "2.0.0" / "samples" / "request.xml")
    name, plan = "план участка.zip", os.urandom(200_000)  # small, because the other digest is slow

    folder = str(uuid.uuid1())
    if over_s3:
        s3("anonymous", "anonymous").put_object("attachment", folder + "/" + name, io.BytesIO(plan), len(plan))
    else:
        up = ftp("anonymous", "smev")
        up.mkd(folder)
        up.cwd(folder)
        up.storbinary("STOR " + name, io.BytesIO(plan))
        expect("size told", up.size(name), len(plan))
        up.quit()

    def data(digest):
        return {
            "MessageID": str(uuid.uuid1()),
            "MessagePrimaryContent": {"_value_1": request},
            "RefAttachmentHeaderList": {"RefAttachmentHeader": [{"uuid": folder, "Hash": digest, "MimeType": "application/zip"}]},
        }

    name_of_fault, _ = fault_of(lambda: consumer.service.SendRequest(SenderProvidedRequestData=data(b"x" * 32)))
    expect("another digest", name_of_fault, "AttachmentContentMiscoordination")
    sent = data(bytes(gosthash.new("streebog256", data=bytearray(plan)).digest()))
    receipt = consumer.service.SendRequest(SenderProvidedRequestData=sent)
    expect("request with a file accepted", receipt.MessageMetadata.MessageId, sent["MessageID"])

    q = etree.QName(request)
    for _ in range(300):
        taken = provider.service.GetRequest(MessageTypeSelector={"NamespaceURI": q.namespace, "RootElementLocalName": q.localname, "Timestamp": datetime.now(timezone.utc)})
        if taken is not None:
            break
        time.sleep(0.1)
    attachment = taken.Request.FSAttachmentsList.FSAttachment[0]
    expect("file of the message", attachment.uuid, folder)
    down, got = ftp(attachment.UserName, attachment.Password), io.BytesIO()
    down.retrbinary("RETR " + attachment.FileName, got.write)
    expect("file fetched whole", got.getvalue() == plan, True)
    down.cwd(folder.upper())
    expect("listed in its folder", down.nlst(), [attachment.FileName])
    try:
        down.storbinary("STOR " + attachment.FileName, io.BytesIO(b"forged"))
        sys.exit("a reader could write")
    except ftplib.error_perm:
        pass
    down.quit()
    if over_s3:
        account = s3(attachment.UserName, attachment.Password)
        for key in (attachment.uuid + "/" + attachment.FileName, attachment.FileName):
            answer = account.get_object("attachment", key)
            expect("fetched over S3 as " + key, answer.read() == plan, True)
            answer.close()
    provider.service.Ack(AckTargetMessage={"_value_1": sent["MessageID"], "Id": "SIGNED_BY_CALLER", "accepted": True})
    try:
        ftp(attachment.UserName, attachment.Password)
        sys.exit("the account is good after the Ack")
    except ftplib.error_perm:
        print("  after the Ack: refused")


def main():
    base, parties, services = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    for version in ROUNDS:
        exchange(base.rstrip("/"), version, parties, services)
        if len(sys.argv) > 4:
            for over_s3 in (False, True):
                file_exchange(base.rstrip("/"), version, parties, services, sys.argv[4], over_s3)
    print("zeep %s: every exchange ended as it should" % zeep.__version__)


if __name__ == "__main__":
    main()
