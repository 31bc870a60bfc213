package journal_test

import (
	"reflect"
	"testing"
	"time"

	"mezhved/adapter/journal"
)

// Whatever members an event has, it takes each that it lacks, and keeps each that it has.
func TestAnEventIsCompletedMemberByMember(t *testing.T) {
	full := func(n int) (e journal.Event) {
		v := reflect.ValueOf(&e).Elem()
		for i := range v.NumField() {
			switch f := v.Field(i); f.Interface().(type) {
			case time.Time:
				f.Set(reflect.ValueOf(time.UnixMilli(int64(n)).UTC()))
			case bool:
				f.SetBool(true)
			case int:
				f.SetInt(int64(n))
			case *int64, *journal.LogChange:
				f.Set(reflect.New(f.Type().Elem()))
			case []string, []journal.PersonalField:
				f.Set(reflect.MakeSlice(f.Type(), n, n))
			default: // texts
				f.SetString(string(rune('a' + n)))
			}
		}
		return e
	}
	one, two := full(1), full(2)
	got := journal.Event{}
	got.Complete(&two)
	if !reflect.DeepEqual(got, two) {
		t.Errorf("an empty event takes\n%+v, want\n%+v", got, two)
	}
	got = one
	got.Complete(&two)
	if !reflect.DeepEqual(got, one) {
		t.Errorf("a full event becomes\n%+v, want\n%+v", got, one)
	}
}
