import Foundation

/// Whatever a YAML file of settings, a value of `--set` or a line of metrics holds, it is refused in one line or gives
/// settings that are written and read back the same.
///
/// The first byte chooses: YAML, a preset, `--set`, a line of `metrics.jsonl`.
func fuzzConfig(_ input: UnsafeBufferPointer<UInt8>) {
  let bytes = Array(input)
  guard let kind = bytes.first else { return }
  let content = Array(bytes.dropFirst())
  let text = String(decoding: content, as: UTF8.self)
  var settings = Settings()
  switch kind & 3 {
  case 0:
    mayRefuse {
      try table.apply(yaml: text, file: "settings.yaml", to: &settings)
      requireSame(settings)
    }
  case 1:
    // Foundation never frees the page that it reads an empty file into.
    guard !content.isEmpty else { return }
    let path = fuzzFile("preset.yaml", content)
    mayRefuse {
      try table.apply(PresetLoader(directories: [fuzzFolder]).preset(path), to: &settings)
      requireSame(settings)
    }
  case 2:
    mayRefuse {
      try table.set(text, in: &settings)
      requireSame(settings)
    }
  default:
    _ = MetricsLineParser.parse(content[...])
  }
}

private func requireSame(_ settings: Settings) {
  var again = Settings()
  do {
    try table.apply(yaml: table.yaml(settings), file: "written.yaml", to: &again)
  } catch {
    fatalError("\(error) in what was written:\n\(table.yaml(settings))")
  }
  precondition(again == settings, table.yaml(settings))
}

/// A key of every kind.
private struct Settings: Equatable, Sendable {
  enum Choice: String, CaseIterable, Sendable { case first, second }
  var whole = 1
  var real = 0.5
  var flag = false
  var text = "text"
  var choice = Choice.first
  var optional: Int?
  var words: String?
  var list: [Int] = []
  var names: [String] = []
}

private let table = ConfigTable<Settings>([
  .int("a.whole", \.whole, range: 0...100, ""), .double("a.real", \.real, range: 0...1e9, ""),
  .bool("a.flag", \.flag, ""), .string("b.text", \.text, ""), .choice("b.choice", \.choice, ""),
  .optionalInt("b.c.optional", \.optional, ""), .optionalString("b.c.words", \.words, ""), .ints("list", \.list, ""),
  .strings("names", \.names, example: "[a, b]", ""),
])
