package postgres

import "sync/atomic"

// usual is of work whose statement has two forms: one for what is nearly always so (nothing
// that it brings is in use, everything stands as it is remembered), which asks for nothing
// and fails where it is wrong; and a careful one, which finds out what is so. A failure
// costs more than is saved, and the driver prepares the statement anew; and what is not as
// usual comes in company, from a sender who repeats all that he was not told of. So behind
// a failure the careful form is taken for a while. The zero value is ready.
type usual struct{ careful atomic.Int32 }

// carefulFor is how many times the careful form is taken behind a failure.
const carefulFor = 32

// expected says that the quick form is to be tried.
func (u *usual) expected() bool {
	return u.careful.Load() <= 0 || u.careful.Add(-1) < 0
}

// failed is called when that was wrong.
func (u *usual) failed() { u.careful.Store(carefulFor) }
