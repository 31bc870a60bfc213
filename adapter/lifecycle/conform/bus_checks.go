package conform

import (
	"slices"

	"mezhved/adapter/lifecycle/conform/paper"
)

// busChecks are in the order in which a message meets what they ask about.
var busChecks = slices.Concat(busDoors, busGate, busSignatures, busMessages, busAttachments, busQueues, busReplies, busAnswers)

// holds is a check that must hold.
func holds(id, title, clause, advice string, do func(*busRun)) busCheck {
	return busCheck{paper.Check{ID: "bus." + id, Title: title, Clause: clause, Level: paper.Must, Advice: advice}, do}
}

// better is a check that should hold.
func better(id, title, clause, advice string, do func(*busRun)) busCheck {
	c := holds(id, title, clause, advice, do)
	c.Level = paper.Should
	return c
}

// The clauses of the guidelines («Методические рекомендации по работе со СМЭВ 3»,
// versions 3.3 and 3.5) and the documents beside them.
const (
	mrTransport  = "МР 3.3, раздел 3; WSDL: привязка SOAP 1.1 document/literal, MTOM"
	mrVersions   = "МР 3.3, п. 3.7"
	mrEncoding   = "МР 3.3, раздел 3: UTF-8"
	mrSchema     = "МР 3.3, раздел 3; схема smev-message-exchange-types"
	mrFaults     = "МР 3.3, приложение 6; схема smev-message-exchange-faults"
	mrSignature  = "МР 3.3, п. 4.3-4.5 и таблица 14; приложение 1"
	mrTransform  = "МР 3.3, приложение 1; МР 3.5 (правило 9)"
	mrOwner      = "МР 3.3, п. 4.5.1; WSDL: SenderIsNotRegistered"
	mrPersonal   = "МР 3.3, п. 4.4-4.5, таблица 6"
	mrMessageID  = "МР 3.3, п. 3.2.1 и 3.4.1; WSDL: InvalidMessageIdFormat, StaleMessageId"
	mrRepeat     = "WSDL: MessageIsAlreadySent; МР 3.3, п. 3.4.1"
	mrType       = "МР 3.3, п. 2.2.2-2.2.4"
	mrRouting    = "МР 3.3, п. 2.2.3; таблица 15"
	mrAccess     = "МР 3.3, таблица 15; WSDL: AccessDenied"
	mrAttachment = "МР 3.3, раздел 5 и п. 3.8; WSDL: AttachmentContentMiscoordination"
	mrFileSign   = "МР 3.3, п. 4.3.1, 4.5.4 и приложение 3"
	mrQueues     = "МР 3.3, п. 2.5"
	mrLease      = "МР 3.3, п. 2.5.2"
	mrNode       = "МР 3.3, п. 2.3.8"
	mrStatuses   = "МР 3.3, п. 2.3.7"
	mrReplyTo    = "МР 3.3, п. 3.3.1"
	mrEOL        = "МР 3.3, раздел 3.2; WSDL: EndOfLifeReached"
	mrTest       = "МР 3.3, раздел 3.2: TestMessage"
	mrReceipt    = "МР 3.3, п. 3.3.1 и 4.5"
	mrAsync      = "МР 3.3, п. 2.4; приложение 6"
	mrSecurity   = "SOAP 1.1, раздел 3: сообщение не содержит DTD и инструкций обработки"
)
