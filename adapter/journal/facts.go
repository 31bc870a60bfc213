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

// Hash is LeafHash of the leaf that was read last, whether it could be read or not.
func (r *LeafReader) Hash() Hash { return r.form.hash() }
