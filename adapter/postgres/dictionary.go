package postgres

import "bytes"

// buildDictionary puts the bytes that envelopes repeat into one dictionary:
// the words of the protocol and, nearest to its end, where matches are
// cheapest, the samples. A change here makes a new dictionary; messages packed
// with an old one keep it.
func buildDictionary(protocol string, samples [][]byte) []byte {
	const limit = 256 << 10
	var d []byte
	d = append(d, protocol...)
	for _, s := range samples {
		if len(d)+len(s) > limit {
			break
		}
		d = append(d, s...)
	}
	return bytes.Clone(d)
}

// protocol is what the three versions of the protocol say again and again, in
// the order and with the spellings that clients use.
var protocol = `<?xml version="1.0" encoding="UTF-8" standalone="no"?><?xml version='1.0' encoding='utf-8'?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<SOAP-ENV:Envelope xmlns:SOAP-ENV="http://schemas.xmlsoap.org/soap/envelope/"><SOAP-ENV:Header/><SOAP-ENV:Body>
<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Header/><soap:Body>
urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.1 urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.1 urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.1
urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.3 urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.3 urn://x-artefacts-smev-gov-ru/services/message-exchange/types/routing/1.3
<ns1:MessageTypeSelector Id="SIGNED_BY_CALLER"><ns2:NamespaceURI></ns2:NamespaceURI><ns2:RootElementLocalName></ns2:RootElementLocalName><ns2:Timestamp></ns2:Timestamp></ns1:MessageTypeSelector>
<ns2:AckTargetMessage Id="SIGNED_BY_CALLER" accepted="true"></ns2:AckTargetMessage>
<ns1:RequestRejected><ns1:RejectionReasonCode>NO_DATA</ns1:RejectionReasonCode>ACCESS_DENIED UNKNOWN_REQUEST_DESCRIPTION FAILURE<ns1:RejectionReasonDescription></ns1:RejectionReasonDescription></ns1:RequestRejected>
<ns1:RequestStatus><ns1:StatusCode></ns1:StatusCode><ns1:StatusParameter><ns1:Key></ns1:Key><ns1:Value></ns1:Value></ns1:StatusParameter><ns1:StatusDescription></ns1:StatusDescription></ns1:RequestStatus>
<ns2:AttachmentHeaderList><ns2:AttachmentHeader><ns2:contentId></ns2:contentId><ns2:MimeType>application/pdf</ns2:MimeType><ns2:SignaturePKCS7></ns2:SignaturePKCS7></ns2:AttachmentHeader></ns2:AttachmentHeaderList>
<ns2:RefAttachmentHeaderList><ns2:RefAttachmentHeader><ns2:uuid></ns2:uuid><ns2:Hash></ns2:Hash><ns2:MimeType>application/zip</ns2:MimeType></ns2:RefAttachmentHeader></ns2:RefAttachmentHeaderList>
<ns2:AttachmentContentList><ns2:AttachmentContent><ns2:Id></ns2:Id><ns2:Content></ns2:Content></ns2:AttachmentContent></ns2:AttachmentContentList>
<ns:SendResponseRequest><ns:SenderProvidedResponseData Id="SIGNED_BY_PROVIDER"><ns:MessageID></ns:MessageID><ns:To></ns:To><ns2:MessagePrimaryContent></ns2:MessagePrimaryContent></ns:SenderProvidedResponseData>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:ns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:ns1="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns:ns2="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2" xmlns:ns3="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/faults/1.2"><soapenv:Header/><soapenv:Body>
{"rid":"","mid":"","mnm":"","prv":"","svc":"","ver":"","wir":"1.2"}
<ns:SendRequestRequest><ns:SenderProvidedRequestData Id="SIGNED_BY_CONSUMER" xmlns="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2"><ns:MessageID></ns:MessageID><ns:ReferenceMessageID></ns:ReferenceMessageID><ns:TransactionCode></ns:TransactionCode><ns:NodeID></ns:NodeID><ns:EOL></ns:EOL><ns2:MessagePrimaryContent></ns2:MessagePrimaryContent><ns:PersonalSignature></ns:PersonalSignature><ns:BusinessProcessMetadata/><ns:TestMessage/></ns:SenderProvidedRequestData>
<ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod><ds:SignatureMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256"></ds:SignatureMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#SIGNED_BY_PROVIDER"><ds:Reference URI="#SIGNED_BY_CONSUMER"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform><ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256"></ds:DigestMethod><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>
<Фамилия></Фамилия><Имя></Имя><Отчество></Отчество><ДатаРождения></ДатаРождения><СНИЛС></СНИЛС><ИНН></ИНН><ОГРН></ОГРН><Адрес></Адрес><Документ></Документ><Серия></Серия><Номер></Номер><ДатаВыдачи></ДатаВыдачи><КемВыдан></КемВыдан>
<ns:CallerInformationSystemSignature><ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:SignatureMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34102012-gostr34112012-256"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"/><ds:Reference URI="#SIGNED_BY_CONSUMER"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"/><ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"/></ds:Transforms><ds:DigestMethod Algorithm="urn:ietf:params:xml:ns:cpxmlsec:algorithms:gostr34112012-256"/><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo><ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate></ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature></ns:CallerInformationSystemSignature></ns:SendRequestRequest></soapenv:Body></soapenv:Envelope>
` + sendWords("Request", "CONSUMER", "") + sendWords("Response", "PROVIDER", "<typ:To></typ:To>")

// sendWords is a message as our own clients send it.
func sendWords(carrier, signer, to string) string {
	return `<soap:Envelope xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/"><soap:Body><typ:Send` + carrier + `Request xmlns:typ="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/1.2" xmlns:bas="urn://x-artefacts-smev-gov-ru/services/message-exchange/types/basic/1.2">` +
		`<typ:SenderProvided` + carrier + `Data Id="SIGNED_BY_` + signer + `"><typ:MessageID></typ:MessageID>` + to + `<bas:MessagePrimaryContent></bas:MessagePrimaryContent></typ:SenderProvided` + carrier + `Data>` +
		`<typ:CallerInformationSystemSignature>` + signatureWords("SIGNED_BY_"+signer) + `</typ:CallerInformationSystemSignature></typ:Send` + carrier + `Request></soap:Body></soap:Envelope>`
}

// signatureWords is a signature of an element as our own clients and we write it.
func signatureWords(id string) string {
	return `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"></ds:SignatureMethod><ds:Reference URI="#` + id + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform><ds:Transform Algorithm="urn://smev-gov-ru/xmldsig/transform"></ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue></ds:DigestValue></ds:Reference></ds:SignedInfo>` +
		`<ds:SignatureValue></ds:SignatureValue><ds:KeyInfo><ds:X509Data><ds:X509Certificate></ds:X509Certificate></ds:X509Data></ds:KeyInfo></ds:Signature>`
}
