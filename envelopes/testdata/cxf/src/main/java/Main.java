import jakarta.xml.ws.BindingProvider;
import jakarta.xml.ws.soap.SOAPBinding;
import java.io.StringReader;
import java.net.URL;
import java.util.TreeSet;
import java.lang.reflect.Method;
import javax.xml.datatype.DatatypeFactory;
import javax.xml.parsers.DocumentBuilderFactory;
import org.w3c.dom.Element;
import org.xml.sax.InputSource;
import smev.basic.*;
import smev.service.*;
import smev.types.*;

/** Classes made from the WSDL by CXF call the operations. Prints one JSON object. */
public class Main {
    static Element parse(String xml) throws Exception {
        DocumentBuilderFactory f = DocumentBuilderFactory.newInstance();
        f.setNamespaceAware(true);
        return f.newDocumentBuilder().parse(new InputSource(new StringReader(xml))).getDocumentElement();
    }

    static String quote(String s) {
        return s == null ? "null" : "\"" + s.replace("\\", "\\\\").replace("\"", "\\\"") + "\"";
    }

    public static void main(String[] args) throws Exception {
        String id = "b5a7f0a0-5a10-11ee-8c99-0242ac120002";
        SMEVMessageExchangePortType port = new SMEVMessageExchangeService(new URL(args[0])).getSMEVMessageExchangeEndpoint();
        ((SOAPBinding) ((BindingProvider) port).getBinding()).setMTOMEnabled(true);

        TreeSet<String> operations = new TreeSet<>();
        for (Method m : SMEVMessageExchangePortType.class.getDeclaredMethods()) {
            operations.add(quote(Character.toUpperCase(m.getName().charAt(0)) + m.getName().substring(1)));
        }

        XMLDSigSignatureType signature = new XMLDSigSignatureType();
        signature.setAny(parse("<ds:Signature xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\"><ds:SignedInfo/></ds:Signature>"));
        MessageTypeSelectorType selector = new MessageTypeSelectorType();
        selector.setId("SIGNED_BY_CALLER");
        selector.setTimestamp(DatatypeFactory.newInstance().newXMLGregorianCalendar("2026-02-27T07:01:04.000+03:00"));

        GetRequestRequest ask = new GetRequestRequest();
        ask.setMessageTypeSelector(selector);
        ask.setCallerInformationSystemSignature(signature);
        Request request = port.getRequest(ask).getRequestMessage().getRequest();
        Element content = (Element) request.getSenderProvidedRequestData().getMessagePrimaryContent().getAny();

        GetResponseRequest askResponse = new GetResponseRequest();
        askResponse.setMessageTypeSelector(selector);
        askResponse.setCallerInformationSystemSignature(signature);
        boolean empty = port.getResponse(askResponse).getResponseMessage() == null;

        SendRequestRequest send = new SendRequestRequest();
        SenderProvidedRequestData data = new SenderProvidedRequestData();
        data.setId("SIGNED_BY_CONSUMER");
        data.setMessageID(id);
        MessagePrimaryContent primary = new MessagePrimaryContent();
        primary.setAny(parse("<t:Root xmlns:t=\"urn://test/1\">текст</t:Root>"));
        data.setMessagePrimaryContent(primary);
        AttachmentHeaderType header = new AttachmentHeaderType();
        header.setContentId("a1");
        header.setMimeType("text/plain");
        data.setAttachmentHeaderList(new AttachmentHeaderList());
        data.getAttachmentHeaderList().getAttachmentHeader().add(header);
        send.setSenderProvidedRequestData(data);
        AttachmentContentType attachment = new AttachmentContentType();
        attachment.setId("a1");
        attachment.setContent(new jakarta.activation.DataHandler(new jakarta.mail.util.ByteArrayDataSource(new byte[10000], "application/octet-stream")));
        send.setAttachmentContentList(new AttachmentContentList());
        send.getAttachmentContentList().getAttachmentContent().add(attachment);
        send.setCallerInformationSystemSignature(signature);
        String receipt = port.sendRequest(send).getMessageMetadata().getMessageId();

        AckRequest ack = new AckRequest();
        AckTargetMessageType target = new AckTargetMessageType();
        target.setValue(id);
        target.setId("SIGNED_BY_CALLER");
        target.setAccepted(true);
        ack.setAckTargetMessage(target);
        ack.setCallerInformationSystemSignature(signature);
        String fault = null, detail = null, description = null;
        try {
            port.ack(ack);
        } catch (TargetMessageIsNotFoundException e) {
            fault = e.getMessage();
            detail = "TargetMessageIsNotFound";
            description = ((SmevFault) e.getFaultInfo()).getDescription();
        }
        System.out.println("{\"operations\":" + operations + ",\"mnemonic\":" + quote(request.getMessageMetadata().getSender().getMnemonic())
            + ",\"status\":" + quote(request.getMessageMetadata().getStatus().value()) + ",\"replyTo\":" + quote(request.getReplyTo())
            + ",\"content\":" + quote(content.getLocalName()) + ",\"empty\":" + empty + ",\"receipt\":" + quote(receipt)
            + ",\"fault\":" + quote(fault) + ",\"detail\":" + quote(detail) + ",\"description\":" + quote(description) + "}");
    }
}
