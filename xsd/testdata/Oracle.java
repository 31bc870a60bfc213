// Oracle validates documents with Xerces-J: the schema first, then the
// documents; it prints "valid" or "invalid" and the path of each.
import java.io.File;
import javax.xml.transform.stream.StreamSource;
import javax.xml.validation.Schema;
import javax.xml.validation.SchemaFactory;

public class Oracle {
    public static void main(String[] args) throws Exception {
        SchemaFactory factory = SchemaFactory.newInstance("http://www.w3.org/2001/XMLSchema");
        Schema schema = factory.newSchema(new File(args[0]));
        for (int i = 1; i < args.length; i++) {
            String verdict = "valid";
            try {
                schema.newValidator().validate(new StreamSource(new File(args[i])));
            } catch (Exception e) {
                verdict = "invalid";
            }
            System.out.println(verdict + " " + args[i]);
        }
    }
}
