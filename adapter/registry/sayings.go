package registry

import "mezhved/adapter/yamlfile"

// sayings has the sentences about services and parties in Russian.
var sayings = yamlfile.Russian(map[string]string{
	"goes with stage: draft: a version that is in use is no shadow of another":                "бывает только при stage: draft: версия в эксплуатации не тень другой",
	"is missing: namespace and request name what the schema is held against":                  "не указано: namespace и request называют, что сверять со схемой",
	"no code of it is used any more: all have ended":                                          "ни один код больше не действует: у всех истёк срок",
	"there is no dictionary %q, version %q (%s/<name>/<version>.csv of the services' folder)": "нет справочника %q версии %q (%s/<имя>/<версия>.csv в папке видов сведений)",
	"dictionary: %v": "справочник: %v",
	// A probe.
	"is shorter than ten seconds": "короче десяти секунд",
	"is longer than 31 days: nothing would ever be seen of it; let it be off instead":                                         "больше 31 суток: результата не увидит никто; поставьте off",
	"is longer than probe.full: the next probe would begin before this one has ended":                                         "больше probe.full: следующая проверка началась бы раньше, чем закончится эта",
	"a broadcast is not answered: leave full out":                                                                             "на рассылку не отвечают: уберите full",
	"the service wants every file signed, and a probe has no files: it shows less than a call would":                          "вид сведений требует подписи каждого файла, а в проверке файлов нет: она показывает меньше, чем настоящий запрос",
	"a time of ten seconds or more such as 15m is expected, or off, not %q":                                                   "ожидается промежуток от десяти секунд вида 15m или off, а не %q",
	"the sample that is sent, %s, is not valid: mezhved services lint says where and why":                                     "отправляемый образец %s не проходит проверку: где и почему, говорит mezhved services lint",
	"there is no samples/request.xml to ask with":                                                                             "нет образца samples/request.xml, которым можно спросить",
	"%s is no sample of a request that is to be taken":                                                                        "%s — не образец запроса, который должен быть принят",
	"a file of the folder samples is expected, not %q":                                                                        "ожидается файл папки samples, а не %q",
	"party %q, which probes (probe.party of the configuration), is not registered (parties/%s.yaml is missing)":               "участник %q, от имени которого идут проверки (probe.party в настройках шлюза), не зарегистрирован (нет parties/%s.yaml)",
	"nobody could ask: name a registered party and its key in the configuration (probe.party, probe.key), or let full be off": "спрашивать некому: назовите в настройках шлюза зарегистрированного участника и его ключ (probe.party, probe.key) или поставьте full: off",
	"%s probes (probe.party of the configuration) and may not call: put it among the callers, or let full be off":             "участник %s, от имени которого идут проверки (probe.party в настройках шлюза), не может обращаться: внесите его в callers или поставьте full: off",

	"%s: %v": "%s: %v",
	// The folders.
	"%v": "%v",
	"no party is registered: nobody can call (add <mnemonic>.yaml beside its certificate)": "не зарегистрировано ни одного участника: обращаться некому (положите <mnemonic>.yaml рядом с сертификатом)",
	"no version of this service was loaded (expected: <version>/service.yaml)":             "не загружено ни одной версии этого вида сведений (ожидается <version>/service.yaml)",

	// A party.
	"%q: letters, digits, _ . and - are expected, 100 at most":                                    "%q: ожидаются буквы, цифры, _ . и -, не более 100 знаков",
	"responses or statuses is expected, not %q":                                                   "ожидается responses или statuses, а не %q",
	"is shorter than a day: content ends by whole days":                                           "короче суток: срок содержимого считается целыми сутками",
	"is shorter than a second":                                                                    "короче секунды",
	"must not be negative":                                                                        "не может быть отрицательным",
	"%s is registered by another file already":                                                    "%s уже зарегистрирован другим файлом",
	"%s holds no certificate":                                                                     "в %s нет сертификата",
	"certificate %s is registered for %s already: a certificate names one system":                 "сертификат %s уже зарегистрирован за %s: сертификат называет одну систему",
	"certificate %s expired on %s":                                                                "срок действия сертификата %s истёк %s",
	"certificate %s expires on %s: register its successor beside it now":                          "срок действия сертификата %s истекает %s: зарегистрируйте рядом следующий",
	"no certificate of %s was found, so it could never call":                                      "у %s нет ни одного сертификата: он не сможет обратиться",
	"name the certificates with which the report may be signed: anybody can make one and sign it": "назовите сертификаты, которыми может быть подписан отчёт: сделать и подписать его может кто угодно",
	"%s is missing: the party has to be tried with mezhved conform party, and the report laid here with its signature (.p7s)": "нет файла %s: участника нужно испытать командой mezhved conform party и положить сюда отчёт с подписью (.p7s)",
	"the report ended on %s: the party has to be tried again":                                                                 "срок действия отчёта истёк %s: участника нужно испытать снова",
	"the report ends on %s: let the party be tried again before":                                                              "срок действия отчёта истекает %s: испытайте участника снова до этого дня",
	"consumer or provider is expected, not %q":                                                                                "ожидается consumer или provider, а не %q",
	"%s has no valid certificate: it cannot call":                                                                             "у %s нет действующего сертификата: он не может обращаться",

	"an offset from UTC such as +10:00 is expected, not %q": "ожидается смещение от UTC вида +10:00, а не %q",

	"is missing: an emulator signs with a key of its own":                  "не указано: эмулятор подписывает собственным ключом",
	"stays with the party: only one that the gateway emulates has it here": "остаётся у участника: здесь он есть только у того, кого играет шлюз",

	// A service.
	"%s is a root of %s %s already: a namespace names one version of one service": "%s — уже корневой элемент вида сведений %s %s: пространство имён называет одну версию одного вида сведений",
	"is missing: people will see the folder's name only":                          "не указано: люди увидят только имя папки",
	"is missing: content without a namespace cannot be signed":                    "не указано: содержимое без пространства имён нельзя подписать",
	"is missing":                                            "не указано",
	"a broadcast is not answered":                           "на рассылку не отвечают",
	"is missing (only a broadcast has none)":                "не указано (его нет только у рассылки)",
	"is the request's root too":                             "совпадает с корневым элементом запроса",
	"draft, test, published or retired is expected, not %q": "ожидается draft, test, published или retired, а не %q",
	"optional, required or forbidden is expected, not %q":   "ожидается optional, required или forbidden, а не %q",
	"optional or required is expected, not %q":              "ожидается optional или required, а не %q",
	"poll or stream is expected, not %q":                    "ожидается poll или stream, а не %q",
	"is later than endOfLife":                               "позже, чем endOfLife",
	"there is no such folder: name the right one with %s in the configuration, or with --%s where a command has it": "такой папки нет: назовите верную настройкой %s или ключом --%s, где он есть",
	"party %q is not registered (parties/%s.yaml is missing)":                                                       "участник %q не зарегистрирован (нет parties/%s.yaml)",
	"%s is listed twice": "%s указан дважды",
	"who receives the requests? give one provider, or routing":             "кто получает запросы? укажите одного поставщика или routing",
	"several providers need routing to choose between them":                "при нескольких поставщиках нужен routing, чтобы выбрать между ними",
	"nobody may call: list mnemonics, or \"*\" for every registered party": "никто не может обращаться: перечислите мнемоники или укажите \"*\" — все зарегистрированные",
	"a broadcast goes to all providers: leave routing out":                 "рассылка идёт всем поставщикам: уберите routing",
	"%s is not among the providers":                                        "%s нет среди поставщиков",
	"code %.20q… is longer than 200 characters":                            "код %.20q… длиннее 200 знаков",
	"is empty: no request could be routed":                                 "пусто: ни один запрос нельзя направить",
	"there is no .xsd in %s: the content could not be checked":             "в %s нет ни одного .xsd: содержимое нечем проверить",
	"the schema declares no global element %s":                             "в схеме не объявлен глобальный элемент %s",

	// Terms.
	"is the deadline: give one of the two":                  "это и есть deadline: укажите что-то одно",
	"a broadcast is not answered, and has no terms":         "на рассылку не отвечают, и сроков у неё нет",
	"an answer is queued and taken; it has no other stages": "ответ ставят в очередь и получают; других этапов у него нет",
	"is the calendar of %d: name it %s":                     "это календарь %d года: назовите файл %s",
	"is not read: a calendar is a file <year>.yaml":         "не читается: календарь — это файл <год>.yaml",
	"the production calendar of %d is missing: working days are counted by weekends and the holidays of the Labour Code, and days off that the government moves are not known": "нет производственного календаря на %d год: рабочие дни считаются по выходным и праздникам Трудового кодекса, а перенесённые Правительством выходные неизвестны",

	// The gate.
	"who the operator is stands in the configuration: name it with --config":                                                    "кто оператор, сказано в конфигурации: назовите её ключом --config",
	"who is the operator? set protocols.operator in the configuration":                                                          "кто оператор? укажите protocols.operator в конфигурации",
	"everybody may send the broadcast: name those who sign":                                                                     "рассылать могут все: назовите тех, кто подписывает",
	"everybody may call: name those who sign":                                                                                   "обращаться могут все: назовите тех, кто подписывает",
	"is published by force, without a test protocol that holds: %s":                                                             "опубликовано без действующего протокола испытаний: %s",
	"stage is missing: %s %s is at the stage test until the file says stage: published":                                         "стадия не указана: версия %s %s на стадии test, пока в файле нет stage: published",
	"stage is missing: it is published by a protocol of the form of before alone; say stage: published":                         "стадия не указана: версия опубликована лишь по протоколу прежней формы; укажите stage: published",
	"%s %s is back at the stage test until its test protocol holds: mezhved services test, then mezhved services protocol sign": "%s %s возвращён на стадию test, пока протокол испытаний не действует: mezhved services test, затем mezhved services protocol sign",
	"a day such as 2027-06-30 is expected, not %q":                                                                              "ожидается дата вида 2027-06-30, а не %q",
	"belongs to a version that is retired: set stage: retired, or leave it out":                                                 "относится к выведенной версии: укажите stage: retired или уберите эту настройку",

	// Samples.
	"is there to show what is refused, and nothing is wrong with it":               "должен показывать, что отвергается, а ошибок в нём нет",
	"must be refused by %s, and is refused by %s":                                  "должен отклоняться по правилу %s, а отклоняется по %s",
	"a broadcast has no response":                                                  "у рассылки нет ответа",
	"the root is %s, here %s is expected":                                          "корневой элемент — %s, а здесь ожидается %s",
	"the root is %s, which is neither the request nor the response of the service": "корневой элемент — %s, а это ни запрос, ни ответ этого вида сведений",

	// Whom messages are about.
	"a name such as snils is expected, of a-z, 0-9 and '-', at most 28 long, that does not end in a number, not %q": "ожидается имя вроде snils из a-z, 0-9 и «-», не длиннее 28 знаков и без числа на конце, а не %q",
	"%q is the journal's own name for something else":                                                               "%q в журнале уже называет другое",
	"%s is spelled as %s in another service and as %s here: who looks for it would find one of the two":             "%s в другом виде сведений записывается как %s, а здесь как %s: поиск нашёл бы только одно из двух",
	"digits, text, date, exact or hash is expected, not %q":                                                         "ожидается digits, text, date, exact или hash, а не %q",
	"where does it stand? give xpath, or parts":                                                                     "где это стоит? укажите xpath или parts",
	"give xpath or parts, not both":                                                                                 "укажите xpath или parts, но не оба",
	"the parts stand in no element together":                                                                        "части не стоят вместе ни в одном элементе",
	"is required, and the schema allows no attribute Id at %s: nobody can sign such content":                        "требуется, а схема не допускает у %s атрибута Id: подписать такое содержимое некому",
	"%v: no request can be routed by it":                                                                            "%v: по нему не направить ни одного запроса",
})
