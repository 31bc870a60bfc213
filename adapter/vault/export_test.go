package vault

// Boxes counts the keys of a tree that are at hand.
func (v *Vault) Boxes(tree string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	g := v.trees[tree]
	if g == nil {
		return 0
	}
	return len(g.boxes.young) + len(g.boxes.old)
}
