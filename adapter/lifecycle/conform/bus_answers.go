package conform

import (
	"strings"
	"time"

	"mezhved/envelopes"
	"mezhved/envelopes/xmltape"
	"mezhved/signing"
)

const adviceBusSignature = "Подписывайте ответ ключом СМЭВ по тому же профилю, что и участники: exc-c14n, преобразование СМЭВ, одна Reference."

// clockSkew is how far the clocks of a bus and of a party may be apart.
const clockSkew = 5 * time.Minute

var busAnswers = []busCheck{
	holds("receipt", "Квитанция называет наш MessageID, состояние и отправителя", mrReceipt,
		"SendRequestResponse: MessageMetadata с MessageId отправителя, Status requestIsQueued и Sender.", func(r *busRun) {
			c := r.request(r.Request)
			a := r.send(c)
			r.taken(a, "запрос")
			switch m := a.receipt; {
			case m.MessageID != c.MessageID:
				r.fail("квитанция на %s вместо %s", m.MessageID, c.MessageID)
			case m.Status != envelopes.StatusRequestIsQueued && m.Status != envelopes.StatusRequestIsAcceptedBySmev:
				r.fail("состояние в квитанции: %q", m.Status)
			case m.Type != envelopes.TypeRequest && m.Type != envelopes.TypeBroadcast:
				r.fail("MessageType в квитанции: %q", m.Type)
			case m.Sender.Mnemonic == "":
				r.fail("в квитанции нет мнемоники отправителя")
			}
		}),
	holds("clock", "Время в квитанции с часовым поясом и не расходится с нашим больше чем на 5 минут", mrReceipt,
		"Синхронизируйте часы узла; пишите время с поясом (+03:00): от SendingTimestamp считается срок исполнения.", func(r *busRun) {
			a := r.send(r.request(r.Request))
			r.taken(a, "запрос")
			stamp := r.root(a.env.Bytes())
			var text string
			walk(stamp, func(n xmltape.Node) {
				if n.Local() == "SendingTimestamp" {
					text = n.TrimText()
				}
			})
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				r.fail("SendingTimestamp %q: не время с часовым поясом", text)
			}
			if d := at.Sub(r.Now()).Abs(); d > clockSkew {
				r.fail("SendingTimestamp %s расходится с нашими часами на %s", text, d.Round(time.Second))
			}
		}),
	holds("receipt-signature", "Квитанция подписана СМЭВ над MessageMetadata", mrReceipt, adviceBusSignature, func(r *busRun) {
		a := r.send(r.request(r.Request))
		r.taken(a, "запрос")
		r.signedBus(a)
	}),
	holds("delivery-signature", "Доставленный запрос подписан СМЭВ", "МР 3.3, п. 4.5: SMEVSignature", adviceBusSignature, func(r *busRun) {
		r.needsProvider()
		id := r.sent()
		a := r.takeRequest(id)
		r.acked(r.Provider, id, true)
		r.signedBus(a)
	}),
	holds("answer-signature", "Доставленный ответ подписан СМЭВ", "МР 3.3, п. 4.5: SMEVSignature", adviceBusSignature, func(r *busRun) {
		m := r.asked()
		r.taken(r.reply(r.Provider, &envelopes.SendResponseCall{To: m.ReplyTo, Content: r.root(r.Response)}), "ответ")
		a := r.takeAnswer(m.Metadata.MessageID, "", nil)
		r.acked(r.Consumer, a.message.Metadata.MessageID, true)
		r.signedBus(a)
	}),
	holds("signature-independent", "Подпись СМЭВ подтверждается и независимой канонизацией", mrTransform,
		"Сравните октеты до хэша с тем, что печатает mezhved verify --explain: расходится преобразование или экранирование.", func(r *busRun) {
			a := r.send(r.request(r.Request))
			r.taken(a, "запрос")
			r.signedBus(a)
			sig, target := a.env.Signed()
			if err := independently(a.env.Bytes(), sig, target); err != nil {
				r.fail("независимая проверка: %v", err)
			}
		}),
	holds("signature-profile", "Подпись СМЭВ построена по профилю: одна Reference, два преобразования, без текста между элементами", "МР 3.3, таблицы 4, 6, 7",
		adviceBusSignature, func(r *busRun) {
			a := r.send(r.request(r.Request))
			r.taken(a, "запрос")
			sig, _ := a.env.Signed()
			if !sig.Valid() {
				r.fail("ответ не подписан")
			}
			info := sig.Child(signing.Namespace, "SignedInfo")
			ref := info.Child(signing.Namespace, "Reference")
			if !ref.Valid() || ref.Next().Valid() {
				r.fail("в SignedInfo не одна Reference")
			}
			var transforms []string
			for n := range ref.Child(signing.Namespace, "Transforms").Children() {
				u, _ := n.Attr("", "Algorithm")
				transforms = append(transforms, u)
			}
			if got := strings.Join(transforms, " "); got != exclusive+" "+signing.TransformURI {
				r.fail("преобразования: %s", got)
			}
			for _, n := range []xmltape.Node{sig, info, ref, ref.Child(signing.Namespace, "Transforms"), sig.Child(signing.Namespace, "KeyInfo")} {
				if len(n.Text()) > 0 {
					r.fail("между элементами %s есть текст", n.Local())
				}
			}
		}),
}
