package envelopes

import "strings"

// Version is a version of the exchange schemas.
type Version uint8

// The versions that are spoken. V11 is the final 1.1, into which the fields of
// 1.2 were ported back.
const (
	V11 Version = iota + 1
	V12
	V13
)

// Versions lists the versions, oldest first.
var Versions = []Version{V11, V12, V13}

// String gives "1.1", "1.2" or "1.3".
func (v Version) String() string {
	switch v {
	case V11:
		return "1.1"
	case V12:
		return "1.2"
	case V13:
		return "1.3"
	}
	return "unknown version"
}

// VersionOf reads what String writes.
func VersionOf(s string) (Version, bool) {
	for _, v := range Versions {
		if v.String() == s {
			return v, true
		}
	}
	return 0, false
}

const smev = "urn://x-artefacts-smev-gov-ru/services/message-exchange/"

// Namespaces that do not depend on the version.
const (
	SOAPSpace      = "http://schemas.xmlsoap.org/soap/envelope/"
	SOAP12Space    = "http://www.w3.org/2003/05/soap-envelope"
	DSigSpace      = "http://www.w3.org/2000/09/xmldsig#"
	XSISpace       = "http://www.w3.org/2001/XMLSchema-instance"
	XOPSpace       = "http://www.w3.org/2004/08/xop/include"
	RoutingSpace   = smev + "types/routing/1.3"
	DirectiveSpace = smev + "types/directive/1.3"
	ProcessSpace   = smev + "business-process-metadata/1.0"
)

// spaces are the namespaces of one version.
type spaces struct{ types, basic, faults, declared string } // declared: see answerSpaces

var versionSpaces = func() (t [V13 + 1]spaces) {
	for _, v := range Versions {
		s := spaces{
			types: smev + "types/" + v.String(),
			basic: smev + "types/basic/" + v.String(), faults: smev + "types/faults/" + v.String(),
		}
		s.declared = ` xmlns="` + s.basic + `" xmlns:ns2="` + s.types + `" xmlns:ns3="` + s.faults + `"`
		t[v] = s
	}
	return t
}()

// TypesSpace is the namespace of the operation elements.
func (v Version) TypesSpace() string { return versionSpaces[v].types }

// BasicSpace is the namespace of MessagePrimaryContent, Timestamp, attachments
// and the other shared elements.
func (v Version) BasicSpace() string { return versionSpaces[v].basic }

// FaultsSpace is the namespace of the fault elements.
func (v Version) FaultsSpace() string { return versionSpaces[v].faults }

// Operation is an operation of the exchange service.
type Operation uint8

// The operations. GetIncomingQueueStatistics exists in 1.1 only.
const (
	SendRequest Operation = iota + 1
	SendResponse
	GetRequest
	GetResponse
	GetStatus
	Ack
	GetIncomingQueueStatistics
)

// Operations lists the operations in the order of the WSDL.
var Operations = []Operation{SendRequest, SendResponse, GetRequest, GetResponse, GetStatus, Ack, GetIncomingQueueStatistics}

var operationNames = [...]string{
	SendRequest: "SendRequest", SendResponse: "SendResponse", GetRequest: "GetRequest", GetResponse: "GetResponse",
	GetStatus: "GetStatus", Ack: "Ack", GetIncomingQueueStatistics: "GetIncomingQueueStatistics",
}

// String gives the operation's name in the WSDL.
func (o Operation) String() string {
	if o == 0 || int(o) >= len(operationNames) {
		return "unknown operation"
	}
	return operationNames[o]
}

// In reports whether the operation exists in a version.
func (o Operation) In(v Version) bool {
	return o >= SendRequest && (o <= Ack || o == GetIncomingQueueStatistics && v == V11)
}

// OperationOf reads what String writes.
func OperationOf(s string) (Operation, bool) {
	for _, o := range Operations {
		if operationNames[o] == s {
			return o, true
		}
	}
	return 0, false
}

// requestElement is the local name of the operation's element in Body.
func (o Operation) requestElement() string { return o.String() + "Request" }

// answerElement is the local name of the answer's element in Body.
func (o Operation) answerElement() string { return o.String() + "Response" }

// bySpace finds the version whose types namespace is space.
func bySpace(space string) (Version, bool) {
	if !strings.HasPrefix(space, smev+"types/") {
		return 0, false
	}
	return VersionOf(space[len(smev+"types/"):])
}

// MessageType is MessageMetadata/MessageType.
type MessageType string

// The message types. CANCEL of 1.1 is used by nobody and not spoken here.
const (
	TypeRequest   MessageType = "REQUEST"
	TypeBroadcast MessageType = "BROADCAST"
	TypeResponse  MessageType = "RESPONSE"
)

// Status is a word of InteractionStatusType.
type Status string

// The statuses; the comment names the versions that know the word when not all do.
const (
	StatusDoesNotExist             Status = "doesNotExist"
	StatusRequestIsQueued          Status = "requestIsQueued"
	StatusRequestIsAcceptedBySmev  Status = "requestIsAcceptedBySmev"
	StatusRequestIsRejectedBySmev  Status = "requestIsRejectedBySmev"
	StatusRequestIsProcessed       Status = "requestIsProcessed" // 1.3
	StatusUnderProcessing          Status = "underProcessing"
	StatusResponseIsQueued         Status = "responseIsQueued" // 1.3
	StatusResponseIsAcceptedBySmev Status = "responseIsAcceptedBySmev"
	StatusResponseIsRejectedBySmev Status = "responseIsRejectedBySmev" // 1.2, 1.3
	StatusResponseIsProcessed      Status = "responseIsProcessed"      // 1.3
	StatusCancelled                Status = "cancelled"
	StatusResponseIsDelivered      Status = "responseIsDelivered" // 1.1
	StatusMessageIsArchived        Status = "messageIsArchived"   // 1.2, 1.3
	StatusMessageIsDelivered       Status = "messageIsDelivered"  // 1.2, 1.3
)

// In reports whether a version's vocabulary has the status.
func (s Status) In(v Version) bool {
	switch s {
	case StatusDoesNotExist, StatusRequestIsQueued, StatusRequestIsAcceptedBySmev, StatusRequestIsRejectedBySmev,
		StatusUnderProcessing, StatusResponseIsAcceptedBySmev, StatusCancelled:
		return true
	case StatusRequestIsProcessed, StatusResponseIsQueued, StatusResponseIsProcessed:
		return v == V13
	case StatusResponseIsRejectedBySmev, StatusMessageIsArchived, StatusMessageIsDelivered:
		return v >= V12
	case StatusResponseIsDelivered:
		return v == V11
	}
	return false
}

// Delivered is the status of a message that is being handed out.
func (v Version) Delivered() Status {
	if v == V11 {
		return StatusResponseIsDelivered
	}
	return StatusMessageIsDelivered
}

// RejectionCode is RequestRejected/RejectionReasonCode.
type RejectionCode string

// The codes of a rejection.
const (
	RejectAccessDenied       RejectionCode = "ACCESS_DENIED"
	RejectNoData             RejectionCode = "NO_DATA"
	RejectUnknownDescription RejectionCode = "UNKNOWN_REQUEST_DESCRIPTION"
	RejectFailure            RejectionCode = "FAILURE"
)

// RejectionCodes lists the codes of a rejection.
var RejectionCodes = []RejectionCode{RejectAccessDenied, RejectNoData, RejectUnknownDescription, RejectFailure}

// Name is an expanded XML name.
type Name struct{ Space, Local string }

// String gives {space}local.
func (n Name) String() string { return "{" + n.Space + "}" + n.Local }
