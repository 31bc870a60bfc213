// Package proving tries a service version on a running gateway and writes down what
// came of it, as a protocol.Document: every sample goes the whole way of a message,
// as signed calls of the parties that the version names, every negative sample must
// be refused by the rule that it names, every reference request is answered with the
// answer that belongs to it, every scenario is led to and played by the emulator, and the schema is compared with that of the version
// before.
//
// Who may enter: programs that have a gateway for themselves. A Trial takes what
// stands in the queues of its parties, so the gateway must be one that nobody else
// uses; mezhved services test starts one. It is a party on the wire and knows of the
// gateway only its address and its certificate. Nothing is kept but the Document, so
// a crash leaves nothing: try again.
package proving
