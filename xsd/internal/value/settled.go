package value

// Settled reports whether raw, a valid value of the type, means the same whatever
// its prefix, or the default namespace, is bound to: where a binding cannot be
// relied on. A QName or NOTATION does when just one name of its enumeration has
// its local part, because with any other binding it would not be valid. A value of
// a union does when none of the members could read a name in it.
func (t *Type) Settled(raw []byte, ctx *Context) bool {
	switch t.variety {
	case List:
		for it := (fields{raw}); ; {
			item, ok := it.next()
			if !ok {
				return true
			}
			if !t.item.Settled(item, ctx) {
				return false
			}
		}
	case Union:
		return !t.mayName(raw, ctx)
	}
	if !t.names() {
		return true
	}
	if t.enum == nil {
		return false
	}
	_, local, _, _ := splitQName(normalize(raw, Collapse, &ctx.norm))
	var meant *Name
	for i := range t.enum.names {
		n := &t.enum.names[i]
		if n.Local != string(local) || meant != nil && *meant == *n {
			continue
		}
		if meant != nil {
			return false
		}
		meant = n
	}
	return meant != nil
}

// Unsettled reports whether the type has values that Settled would not vouch for.
func (t *Type) Unsettled() bool {
	switch t.variety {
	case List:
		return t.item.Unsettled()
	case Union:
		for _, m := range t.members {
			if m.variety == Atomic && m.names() || m.variety != Atomic && m.Unsettled() {
				return true
			}
		}
		return false
	}
	if !t.names() {
		return false
	}
	if t.enum == nil {
		return true
	}
	meant := map[string]Name{}
	for _, n := range t.enum.names {
		if other, ok := meant[n.Local]; ok && other != n {
			return true
		}
		meant[n.Local] = n
	}
	return false
}

func (t *Type) names() bool { return t.primitive == QName || t.primitive == NOTATION }

// mayName reports whether raw, or one of its items, has the form of a name where
// the type could read one.
func (t *Type) mayName(raw []byte, ctx *Context) bool {
	switch t.variety {
	case List:
		for it := (fields{raw}); ; {
			item, ok := it.next()
			if !ok {
				return false
			}
			if t.item.mayName(item, ctx) {
				return true
			}
		}
	case Union:
		for _, m := range t.members {
			if m.mayName(raw, ctx) {
				return true
			}
		}
		return false
	}
	if !t.names() {
		return false
	}
	_, _, r, _ := splitQName(normalize(raw, Collapse, &ctx.norm))
	return r == ReasonNone
}
