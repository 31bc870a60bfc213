package xsd

// particle reads an element, wildcard, model group or group reference inside a
// content model; whole says that it is all the content of a type or of a group
// definition. It is nil after a finding.
func (c *compiler) particle(n *node, whole bool) *particle {
	c.tick()
	p := &particle{min: 1, max: 1, node: n}
	if n.has("minOccurs") {
		p.min = countOf(n.token("minOccurs"))
	}
	if v := n.token("maxOccurs"); v == "unbounded" {
		p.max = unbounded
	} else if n.has("maxOccurs") {
		p.max = countOf(v)
	}
	if p.max != unbounded && p.min > p.max {
		c.find(n, "p-props-correct.2.1", "minOccurs=%[1]d больше maxOccurs=%[2]d", "minOccurs=%[1]d is greater than maxOccurs=%[2]d", p.min, p.max)
		return nil
	}
	switch n.name {
	case "element":
		if p.elem = c.localElement(n); p.elem == nil {
			return nil
		}
	case "any":
		p.wild = c.wildcard(n)
	case "group":
		name, ok := c.lookup(n, "ref")
		if !ok {
			return nil
		}
		g := c.groups[name]
		if g == nil {
			c.unresolved(n, "группа", "group", name)
			return nil
		}
		if c.redefining != nil && c.redefining.original != nil && name == c.redefining.name {
			c.selfReferences++
			if p.min != 1 || p.max != 1 {
				c.find(n, "src-redefine.6.1.2", "ссылка переопределяемой группы на себя должна иметь minOccurs=maxOccurs=1", "the reference of a redefined group to itself must have minOccurs=maxOccurs=1")
			}
			g = c.redefining.original
		}
		if !c.needGroup(g) {
			c.find(n, "mg-props-correct.2", "группа %[1]s содержит сама себя", "group %[1]s contains itself", name.short())
			return nil
		}
		if g.model == nil {
			return nil // after a finding
		}
		p.group = g.model
		if g.model.compositor == all && p.max != 0 && (!whole || p.max != 1) {
			c.find(n, "cos-all-limited.1.2", "группа %[1]s состоит из xs:all и может быть только всем содержимым типа, не более одного раза", "group %[1]s is an xs:all and may only be the whole content of a type, once at most", name.short())
		}
	default:
		p.group = c.modelGroup(n)
	}
	return p
}

func (c *compiler) modelGroup(n *node) *modelGroup {
	g := &modelGroup{node: n}
	switch n.name {
	case "choice":
		g.compositor = choice
	case "all":
		g.compositor = all
	}
	for _, k := range n.kids {
		p := c.particle(k, false)
		if p != nil && p.max != 0 {
			g.particles = append(g.particles, p)
		}
	}
	return g
}

// needGroup reads a group definition. It gives false when the group is being
// read: a circle.
func (c *compiler) needGroup(g *groupDef) bool {
	switch g.state {
	case done:
		return true
	case underway:
		return false
	}
	g.state = underway
	c.enter(g.node)
	defer c.leave()
	if g.original != nil {
		c.needGroup(g.original)
	}
	outer, outerRefs := c.redefining, c.selfReferences
	c.redefining, c.selfReferences = g, 0
	k := g.node.kid("all", "choice", "sequence")
	g.model = c.modelGroup(k)
	refs := c.selfReferences
	c.redefining, c.selfReferences = outer, outerRefs
	if g.original != nil {
		switch {
		case refs > 1:
			c.find(g.node, "src-redefine.6.1.1", "переопределяемая группа ссылается на себя дважды", "the redefined group refers to itself twice")
		case refs == 0 && g.original.model != nil:
			c.redefinedGroups = append(c.redefinedGroups, g)
		}
	}
	g.state = done
	return true
}

// emptiable: the particle accepts no element at all (cos-group-emptiable).
func (p *particle) emptiable() bool {
	if p.min == 0 {
		return true
	}
	if p.group == nil {
		return false
	}
	lo, _ := p.group.total()
	return lo == 0
}

// total is the effective total range of a group that occurs once
// (Part 1, 3.8.6): how many children it may have.
func (g *modelGroup) total() (lo, hi int) {
	if g.sized {
		return g.minTotal, g.maxTotal
	}
	for i, p := range g.particles {
		l, h := p.total()
		if g.compositor != choice {
			lo = min(lo+l, maxCount)
			hi = sumMax(hi, h)
			continue
		}
		if i == 0 {
			lo, hi = l, h
			continue
		}
		lo = min(lo, l)
		if h == unbounded || hi == unbounded {
			hi = unbounded
		} else {
			hi = max(hi, h)
		}
	}
	g.sized, g.minTotal, g.maxTotal = true, lo, hi
	return lo, hi
}

// total is the effective total range of a particle.
func (p *particle) total() (lo, hi int) {
	if p.group == nil {
		return p.min, p.max
	}
	lo, hi = p.group.total()
	lo = mulCount(lo, p.min)
	switch {
	case hi == 0 || p.max == 0:
		return lo, 0
	case hi == unbounded || p.max == unbounded:
		return lo, unbounded
	}
	return lo, mulCount(hi, p.max)
}

func sumMax(a, b int) int {
	if a == unbounded || b == unbounded {
		return unbounded
	}
	return min(a+b, maxCount)
}

func mulCount(a, b int) int {
	if a != 0 && b > maxCount/a {
		return maxCount
	}
	return a * b
}
