package journal

// Facts are what of a leaf is needed for counting it. Texts are parts of the leaf
// as far as they have no escapes.
type Facts struct {
	Kind                          KindNumber
	Sender, Recipient, Message    []byte
	Time, Logged                  int64 // milliseconds since 1970
	Prev, SenderSeq, RecipientSeq int64
	Period                        *Period
}

// LeafReader reads leaves one after another as ParseLeaf does, with one judgement of
// what a leaf is, and makes nothing out of members that are not counted: a log has
// very many. The zero value is ready; not for concurrent use.
type LeafReader struct{ form form }

// Facts reads a leaf into facts. After an error they mean nothing.
func (r *LeafReader) Facts(leaf []byte, facts *Facts) error {
	f := &r.form
	if err := f.read(leaf); err != nil {
		return err
	}
	*facts = Facts{
		Kind: f.kind, Sender: f.plain(mSender), Recipient: f.plain(mRecipient), Message: f.plain(mMessage),
		Time: f.number(mTime), Logged: f.number(mLogged), Prev: f.index(mPrev), SenderSeq: f.number(mSenderSeq), RecipientSeq: f.number(mRecipientSeq),
		Period: f.period,
	}
	return nil
}

// Telling is what of a leaf is needed for telling how exchanges went. Texts are parts
// of the leaf as far as they have no escapes; Message is not among them, because a
// request's MessageID names it on all its entries.
type Telling struct {
	Kind                                KindNumber
	MessageID, Original                 []byte
	Sender, Recipient, Service, Version []byte
	Operation, Direction, Outcome, Rule []byte
	Terms                               []byte // what counts from the delivery, of an entry accepted
	Time, Logged, Deadline, Count       int64  // milliseconds since 1970, but for Count
	DueQueued, DueTaken, DueStatus      int64
	Test                                bool
}

// Telling reads a leaf into t. After an error it means nothing.
func (r *LeafReader) Telling(leaf []byte, t *Telling) error {
	f := &r.form
	if err := f.read(leaf); err != nil {
		return err
	}
	*t = Telling{
		Kind: f.kind, MessageID: f.plain(mMessageID), Original: f.plain(mOriginal), Sender: f.plain(mSender), Recipient: f.plain(mRecipient),
		Service: f.plain(mService), Version: f.plain(mVersion), Operation: f.plain(mOperation), Direction: f.plain(mDirection),
		Outcome: f.plain(mOutcome), Rule: f.plain(mRule), Time: f.number(mTime), Logged: f.number(mLogged), Deadline: f.number(mDeadline),
		Count: f.number(mCount), Test: f.stands(mTest), Terms: f.plain(mTerms),
		DueQueued: f.number(mDueQueued), DueTaken: f.number(mDueTaken), DueStatus: f.number(mDueStatus),
	}
	return nil
}

// Hash is LeafHash of the leaf that was read last, whether it could be read or not.
func (r *LeafReader) Hash() Hash { return r.form.hash() }
