package value

// Rule is the id of a rule of the standard, as written there.
type Rule string

// Validation rules of Part 2 (values against types).
const (
	RuleLexical      Rule = "cvc-datatype-valid.1.2.1" // not in the lexical space of an atomic type
	RuleNoMember     Rule = "cvc-datatype-valid.1.2.3" // no member of a union takes it
	RulePattern      Rule = "cvc-pattern-valid"
	RuleEnumeration  Rule = "cvc-enumeration-valid"
	RuleLength       Rule = "cvc-length-valid"
	RuleMinLength    Rule = "cvc-minLength-valid"
	RuleMaxLength    Rule = "cvc-maxLength-valid"
	RuleMinInclusive Rule = "cvc-minInclusive-valid"
	RuleMinExclusive Rule = "cvc-minExclusive-valid"
	RuleMaxInclusive Rule = "cvc-maxInclusive-valid"
	RuleMaxExclusive Rule = "cvc-maxExclusive-valid"
	RuleTotalDigits  Rule = "cvc-totalDigits-valid"
	RuleFracDigits   Rule = "cvc-fractionDigits-valid"
)

// Schema component rules (types against their bases).
const (
	RuleApplicable         Rule = "cos-applicable-facets"
	RuleSingleFacet        Rule = "src-single-facet-value"
	RuleFixedFacet         Rule = "st-restrict-facets" // the base has fixed the facet at another value
	RulePatternSyntax      Rule = "src-pattern-value"
	RuleEnumRestriction    Rule = "enumeration-valid-restriction"
	RuleLengthAndMinMax    Rule = "length-minLength-maxLength"
	RuleLengthRestr        Rule = "length-valid-restriction"
	RuleMinLengthRestr     Rule = "minLength-valid-restriction"
	RuleMaxLengthRestr     Rule = "maxLength-valid-restriction"
	RuleMinLEMaxLength     Rule = "minLength-less-than-equal-to-maxLength"
	RuleWhiteSpaceRestr    Rule = "whiteSpace-valid-restriction"
	RuleMinInclusiveRestr  Rule = "minInclusive-valid-restriction"
	RuleMinExclusiveRestr  Rule = "minExclusive-valid-restriction"
	RuleMaxInclusiveRestr  Rule = "maxInclusive-valid-restriction"
	RuleMaxExclusiveRestr  Rule = "maxExclusive-valid-restriction"
	RuleMinInclAndExcl     Rule = "minInclusive-minExclusive"
	RuleMaxInclAndExcl     Rule = "maxInclusive-maxExclusive"
	RuleMinInclLEMaxIncl   Rule = "minInclusive-less-than-equal-to-maxInclusive"
	RuleMinExclLEMaxExcl   Rule = "minExclusive-less-than-equal-to-maxExclusive"
	RuleMinExclLTMaxIncl   Rule = "minExclusive-less-than-maxInclusive"
	RuleMinInclLTMaxExcl   Rule = "minInclusive-less-than-maxExclusive"
	RuleTotalDigitsRestr   Rule = "totalDigits-valid-restriction"
	RuleFracDigitsRestr    Rule = "fractionDigits-valid-restriction"
	RuleFracLETotalDigits  Rule = "fractionDigits-totalDigits"
	RuleListOfAtomic       Rule = "cos-list-of-atomic"
	RuleUnionMembers       Rule = "cos-st-restricts.3.1"
	RuleRestrictBase       Rule = "cos-st-restricts.1.1"
	RuleNotationEnumerated Rule = "enumeration-required-notation"
)

// Reason says why a lexical form is not in the lexical space of a built-in
// type. Failure.Offset is the byte at which it was noticed.
type Reason uint8

// Reasons.
const (
	ReasonNone           Reason = iota
	ReasonEmpty                 // nothing where a value is required
	ReasonCharacter             // a character that may not stand there
	ReasonTruncated             // ends too early
	ReasonTrailing              // goes on after a complete value
	ReasonDigits                // a digit was expected
	ReasonMonth                 // month not 01..12
	ReasonDay                   // day not in that month
	ReasonHour                  // hour not 00..24, or 24 with minutes or seconds
	ReasonMinute                // minute not 00..59
	ReasonSecond                // second not 00..59
	ReasonYear                  // year 0000, fewer than 4 digits, or leading zeros beyond 4
	ReasonTimeZone              // offset beyond 14:00 or malformed
	ReasonNumberTooLarge        // more digits than this implementation takes
	ReasonNoDuration            // a duration without any number, or T without time
	ReasonOddHex                // odd number of hexadecimal digits
	ReasonBase64                // base64 length or final bits are wrong
	ReasonPrefix                // the prefix of a QName is not declared
	ReasonName                  // not a name of the required kind
	ReasonUTF8                  // a name that is not UTF-8
)

var reasonText = [...]string{
	ReasonNone:           "",
	ReasonEmpty:          "empty value",
	ReasonCharacter:      "unexpected character",
	ReasonTruncated:      "incomplete value",
	ReasonTrailing:       "trailing characters",
	ReasonDigits:         "digit expected",
	ReasonMonth:          "month out of range",
	ReasonDay:            "day out of range for the month",
	ReasonHour:           "hour out of range",
	ReasonMinute:         "minute out of range",
	ReasonSecond:         "second out of range",
	ReasonYear:           "illegal year",
	ReasonTimeZone:       "illegal time zone",
	ReasonNumberTooLarge: "number has too many digits",
	ReasonNoDuration:     "duration without a number",
	ReasonOddHex:         "odd number of hexadecimal digits",
	ReasonBase64:         "broken base64",
	ReasonPrefix:         "undeclared prefix",
	ReasonName:           "not a name",
	ReasonUTF8:           "not well-formed text",
}

// String returns a short English phrase, for logs and tests.
func (r Reason) String() string {
	if int(r) < len(reasonText) {
		return reasonText[r]
	}
	return "unknown reason"
}
