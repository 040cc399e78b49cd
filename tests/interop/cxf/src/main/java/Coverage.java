import java.util.List;
import java.util.Map;
import org.apache.cxf.binding.soap.SoapFault;
import org.apache.cxf.binding.soap.SoapMessage;
import org.apache.cxf.ws.security.wss4j.CryptoCoverageUtil.CoverageType;
import org.apache.cxf.ws.security.wss4j.DefaultCryptoCoverageChecker;
import org.apache.cxf.ws.security.wss4j.PolicyBasedWSS4JInInterceptor;
import org.apache.wss4j.common.ext.WSSecurityException;
import org.apache.wss4j.dom.WSConstants;

/**
 * Body, Timestamp and SignatureConfirmation are signed, of responses and of faults. Without it CXF takes a fault that
 * has no Security header at all, by policy too.
 */
final class Coverage extends DefaultCryptoCoverageChecker {
    Coverage() {
        addAfter(PolicyBasedWSS4JInInterceptor.class.getName());
        addPrefixes(Map.of("wsse11", WSConstants.WSSE11_NS));
        addXPaths(List.of(new XPathExpression("//wsse:Security/wsse11:SignatureConfirmation", CoverageType.SIGNED)));
    }

    @Override
    public void handleMessage(SoapMessage message) {
        try {
            super.handleMessage(message);
        } catch (SoapFault error) {
            WSSecurityException cause = new WSSecurityException(WSSecurityException.ErrorCode.FAILED_CHECK, error);
            throw new SoapFault(error.getMessage(), cause, message.getVersion().getSender());
        }
    }
}
