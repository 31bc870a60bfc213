package xsd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mezhved/envelopes/xmltape"
)

func propertySchema(t testing.TB) *Schema {
	t.Helper()
	s, err := Compile(os.DirFS(filepath.Join(repository(t), "testdata/xsd/property")), []string{"request.xsd"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// propertyDocument is a valid request of about so many bytes: Cyrillic names,
// patterns, dates, enumerations, types of two imported namespaces, a key.
func propertyDocument(size int) []byte {
	var b strings.Builder
	b.WriteString(`<?xml version="1.0" encoding="UTF-8"?>
<ns:ЗапросСведений xmlns:ns="urn://x-artefacts-mezhved/property/1.0.0" Идентификатор="1f0e8a34-93ab-4c0d-8f11-5d2b8a6f7c01" Дата="2026-03-14">
  <ns:Заявитель><ns:Организация><ns:Наименование>Администрация города Екатеринбурга</ns:Наименование><ns:ИНН>6661004661</ns:ИНН><ns:ОГРН>1046603983800</ns:ОГРН></ns:Организация></ns:Заявитель>
  <ns:Объекты>
`)
	kinds := []string{"Земельный участок", "Здание", "Сооружение", "Помещение", "Машино-место"}
	for i := 1; b.Len() < size-100; i++ {
		fmt.Fprintf(&b, `    <ns:Объект Номер="%d" Актуальность="true">
      <ns:КадастровыйНомер>66:41:%07d:%d</ns:КадастровыйНомер>
      <ns:Вид>%s</ns:Вид>
      <ns:Адрес>
        <ns:ОКАТО>65401000000</ns:ОКАТО>
        <ns:Регион>66</ns:Регион>
        <ns:Город>Екатеринбург</ns:Город>
        <ns:Улица>улица Малышева</ns:Улица>
        <ns:Дом>%d, корпус 2</ns:Дом>
      </ns:Адрес>
      <ns:Площадь Единица="м2">%d.70</ns:Площадь>
      <ns:Стоимость>%d.00</ns:Стоимость>
      <ns:ДатаПостановки>2012-09-%02dT10:30:00+05:00</ns:ДатаПостановки>
      <ns:Примечание>Сведения внесены на основании технического паспорта</ns:Примечание>
    </ns:Объект>
`, i, i, 100+i, kinds[i%len(kinds)], i%150+1, 20+i%90, 1_000_000+1000*i, i%28+1)
	}
	b.WriteString("  </ns:Объекты>\n</ns:ЗапросСведений>\n")
	return []byte(b.String())
}

var benchSizes = []struct {
	name string
	size int
}{{"4KB", 4 << 10}, {"40KB", 40 << 10}, {"200KB", 200 << 10}}

func parseTape(t testing.TB, src []byte) *xmltape.Tape {
	t.Helper()
	tape := new(xmltape.Tape)
	if err := tape.Parse(src, xmltape.Limits{}); err != nil {
		t.Fatal(err)
	}
	return tape
}

// BenchmarkValidate is the validation of a tape that is there already.
func BenchmarkValidate(b *testing.B) {
	s := propertySchema(b)
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			src := propertyDocument(size.size)
			tape := parseTape(b, src)
			v := s.NewValidator()
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if err := v.Validate(tape.Root()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseAndValidate is what libxml2's SAX validation does: both from bytes.
func BenchmarkParseAndValidate(b *testing.B) {
	s := propertySchema(b)
	for _, size := range benchSizes {
		b.Run(size.name, func(b *testing.B) {
			src := propertyDocument(size.size)
			var tape xmltape.Tape
			v := s.NewValidator()
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				if err := tape.Parse(src, xmltape.Limits{}); err != nil {
					b.Fatal(err)
				}
				if err := v.Validate(tape.Root()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	for b.Loop() {
		propertySchema(b)
	}
}

// TestNoAllocation: a valid document costs nothing once the validator has grown.
func TestNoAllocation(t *testing.T) {
	s := propertySchema(t)
	v := s.NewValidator()
	src := propertyDocument(40 << 10)
	var tape xmltape.Tape
	run := func() {
		if err := tape.Parse(src, xmltape.Limits{}); err != nil {
			t.Fatal(err)
		}
		if err := v.Validate(tape.Root()); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if got := testing.AllocsPerRun(100, run); got > 2 {
		t.Errorf("a document costs %v allocations, want at most 2", got)
	}
}
