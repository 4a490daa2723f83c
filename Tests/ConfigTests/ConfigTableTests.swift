import Foundation
import Testing

@testable import MMoEConfig

private enum Balance: String, CaseIterable, Sendable {
  case allChoices = "all_choices"
  case firstChoice = "first_choice"
}

private struct Sample: Equatable, Sendable {
  struct MoE: Equatable, Sendable {
    var experts = 8
    var balance = Balance.allChoices
    var capacity: Double?
    var layers = [1, 3]
  }
  struct Optimizer: Equatable, Sendable {
    var lr = 1e-3
    var clip = 1.0
    var warmup: Int?
  }
  var moe = MoE()
  var optimizer = Optimizer()
  var name = "a run"
  var data: String?
  var flip = true

  static let keys = ConfigTable<Sample>(
    [
      .int("moe.experts", \.moe.experts, range: 1...65536, "routed experts per MoE layer"),
      .choice("moe.balance", \.moe.balance, "form of the load-balancing loss"),
      .double("optimizer.lr", \.optimizer.lr, range: 0 ... .infinity, "peak learning rate"),
      .optionalDouble(
        "moe.capacity", \.moe.capacity, range: .leastNonzeroMagnitude ... .infinity,
        "capacity factor"),
      .ints("moe.layers", \.moe.layers, range: 0 ... .max, "blocks with MoE"),
      .double("optimizer.clip", \.optimizer.clip, range: 0...10, "largest gradient norm"),
      .optionalInt("optimizer.warmup.steps", \.optimizer.warmup, range: 0 ... .max, "warm-up"),
      .string("run.name", \.name, "name"),
      .optionalString("data.dir", \.data, "image folder"),
      .bool("data.flip", \.flip, "mirror images at random"),
    ], retired: [RetiredKey("moe.sorting", default: "0", "rows are always sorted")], listCommand: "mmoe config")
}

private func message(_ assignment: String) -> String {
  var sample = Sample()
  do {
    try Sample.keys.set(assignment, in: &sample)
    return "accepted"
  } catch { return error.description }
}

private func message(yaml: String) -> String {
  var sample = Sample()
  do {
    try Sample.keys.apply(yaml: yaml, file: "c.yaml", to: &sample)
    return "accepted"
  } catch {
    #expect(sample == Sample(), "an error leaves the configuration as it was")
    #expect(!error.description.contains("\n"), "one line")
    return error.description
  }
}

@Suite struct ConfigTableTests {
  @Test func commandLineSetsEveryType() throws {
    var sample = Sample()
    try Sample.keys.set(
      [
        "moe.experts=1_024", "moe.balance=first_choice", "moe.capacity=1.25", "moe.layers=0,2, 4",
        "optimizer.lr=3e-4", "optimizer.clip=1", "optimizer.warmup.steps=100", "run.name=a=b: #c",
        "data.dir=/data/x", "data.flip=false",
      ], in: &sample)
    #expect(
      sample.moe == .init(experts: 1024, balance: .firstChoice, capacity: 1.25, layers: [0, 2, 4]))
    #expect(sample.optimizer == .init(lr: 3e-4, clip: 1, warmup: 100))
    #expect(sample.name == "a=b: #c" && sample.data == "/data/x" && !sample.flip)
    try Sample.keys.set(
      [
        "moe.capacity=none", "optimizer.warmup.steps=null", "data.dir=none", "moe.layers=[]",
        "run.name=",
      ],
      in: &sample)
    #expect(sample.moe.capacity == nil && sample.optimizer.warmup == nil && sample.data == nil)
    #expect(sample.moe.layers.isEmpty && sample.name.isEmpty)
  }

  @Test func unknownKeysNameTheNearest() {
    #expect(
      message("lr=1")
        == "--set: unknown key lr; the nearest is optimizer.lr; `mmoe config` lists all keys")
    #expect(message("schedule.lr=1").contains("the nearest is optimizer.lr;"))
    #expect(message("moe.expert=1").contains("the nearest is moe.experts;"))
    #expect(message("optimzier.clip=1").contains("the nearest is optimizer.clip;"))
    #expect(message("=1").contains("unknown key \"\""))
    #expect(message("moe.experts") == "--set moe.experts: expected key=value, found no =")
    #expect(
      message("optimizer.warmup=1") == "--set: optimizer.warmup is a group of keys, found 1; "
        + "set one of optimizer.warmup.steps")
    #expect(
      message("moe.experts.count=1")
        == "--set: moe.experts: expected an integer from 1 to 65536, found a map with moe.experts.count"
    )
  }

  /// A file of an earlier version may hold a key that is gone, at the value that changed nothing.
  @Test func retiredKeys() throws {
    #expect(message("moe.sorting=0") == "accepted" && message(yaml: "moe:\n  sorting: 0\n") == "accepted")
    #expect(
      message(yaml: "moe:\n  sorting: 2\n")
        == "c.yaml:2: moe.sorting: found 2, expected 0 or nothing: rows are always sorted; leave it out")
    #expect(!Sample.keys.yaml(Sample()).contains("sorting"))
    #expect(message("moe.sort=0").contains("unknown key moe.sort;"))
    var config = RunConfig()
    try RunConfig.table.apply(yaml: "parallel:\n  host_ranks: 0\n  zero: 1\n", file: "config.yaml", to: &config)
    #expect(config.parallel.zero == 1)
  }

  @Test(arguments: [
    ("moe.experts=64.0", "expected an integer from 1 to 65536, found 64.0; write 64"),
    ("moe.experts=1e3", "found 1e3; write 1000"),
    ("moe.experts=2.5", "found 2.5"),
    ("moe.experts=0", "expected an integer from 1 to 65536, found 0"),
    ("moe.experts=99999999999999999999", "found 99999999999999999999"),
    ("moe.experts=1__0", "found 1__0"),
    ("moe.experts=0x10", "found 0x10"),
    ("moe.experts=", "found an empty text"),
    ("optimizer.lr=inf", "expected a finite number of at least 0.0, found inf"),
    ("optimizer.lr=.inf", "found .inf"),
    ("optimizer.lr=nan", "found nan"),
    ("optimizer.lr=1e999", "found 1e999"),
    ("optimizer.lr=0x1p3", "found 0x1p3"),
    ("optimizer.clip=10.5", "expected a number from 0.0 to 10.0, found 10.5"),
    ("moe.capacity=0", "expected a finite number greater than 0, or none, found 0"),
    ("data.flip=yes", "expected true or false, found yes; write true"),
    ("data.flip=0", "found 0; write false"),
    (
      "moe.balance=allchoices",
      "expected all_choices or first_choice, found allchoices; the nearest is all_choices"
    ),
    ("moe.layers=1,,2", "expected a list such as [1, 2], each an integer of at least 0"),
    ("moe.layers=1,x", "found x"),
  ])
  func wrongValues(assignment: String, expected: String) {
    let found = message(assignment)
    #expect(found.contains(expected), "\(found)")
    #expect(found.hasPrefix("--set: \(assignment.prefix { $0 != "=" }): "), "\(found)")
  }

  @Test func yamlOfNestedMapsAndDottedKeys() throws {
    var sample = Sample()
    try Sample.keys.apply(
      yaml: """
        # a comment
        moe:
          experts: 1_6
          layers: [1, 2]
          capacity: ~
        optimizer.lr: 3e-4
        optimizer.warmup:
          steps: 10
        run: {name: "64"}
        data:
          # dir: /nowhere
        """, file: "c.yaml", to: &sample)
    #expect(sample.moe.experts == 16 && sample.moe.layers == [1, 2] && sample.optimizer.lr == 3e-4)
    #expect(sample.optimizer.warmup == 10 && sample.name == "64")
    try Sample.keys.apply(yaml: "# nothing\n", file: "c.yaml", to: &sample)
    try Sample.keys.apply(yaml: "", file: "c.yaml", to: &sample)
  }

  @Test func yamlErrorsNameFileAndLine() {
    #expect(
      message(yaml: "moe:\n  experts: many\n")
        == "c.yaml:2: moe.experts: expected an integer from 1 to 65536, found many")
    #expect(
      message(yaml: "moe:\n  experts: '8'").hasSuffix(
        "found the quoted text \"8\"; remove the quotes"))
    #expect(message(yaml: "moe:\n  experts: 64.0").hasSuffix("found 64.0; write 64"))
    #expect(message(yaml: "moe:\n  experts: [8]").hasSuffix("found a list of 1"))
    #expect(message(yaml: "moe:\n  experts:").hasSuffix("found no value"))
    #expect(
      message(yaml: "data:\n  flip: yes").hasSuffix("expected true or false, found yes; write true")
    )
    #expect(message(yaml: "optimizer:\n  lr: .nan").hasSuffix("found .nan"))
    #expect(message(yaml: "moe:\n  layers: [[1]]").contains("found a list of lists or maps"))
    #expect(
      message(yaml: "moe: 3").hasPrefix("c.yaml:1: moe is a group of keys, found 3; set one of"))
    #expect(
      message(yaml: "\n\noptimiser:\n  lr: 1").hasPrefix(
        "c.yaml:4: unknown key optimiser.lr; the nearest is optimizer.lr;"))
    #expect(
      message(yaml: "- a").hasPrefix("c.yaml:1: expected lines of `key: value`, found a list"))
    #expect(message(yaml: "moe: [1").hasPrefix("c.yaml:2:1: expected YAML, found an error:"))
    #expect(message(yaml: "a: 1\n---\nb: 2").contains("another document"))
    #expect(message(yaml: "moe: &a {experts: 1}\nx: *b").contains("c.yaml"))
  }

  @Test func duplicateKeysAreErrors() {
    #expect(
      message(yaml: "moe:\n  experts: 1\n  experts: 2").contains("experts: found more than once"))
    #expect(
      message(yaml: "moe:\n  experts: 1\nmoe.experts: 2")
        == "c.yaml:3: moe.experts: found again, expected once; it stands at line 2 too, remove one")
  }

  /// Keys and values are quoted in errors, and an error is one line.
  @Test(arguments: ["na\nme", "nam\u{0}eva,b 0m\r\n   *.x]", "moe.experts=1\n2", "a=\u{2028}b"])
  func errorsAreOneLine(setting: String) {
    var sample = Sample()
    let error = #expect(throws: ConfigError.self) { try Sample.keys.set(setting, in: &sample) }
    #expect(error?.description.contains(where: \.isNewline) == false)
  }

  @Test func yamlReadsBackEqual() throws {
    var sample = Sample()
    sample.moe.capacity = 1e-7
    sample.optimizer.lr = 0.1 + 0.2
    sample.moe.layers = []
    for name in [
      "", "true", "12", "1e5", "a: b # c", "tab\t\"quote\"\\\n\u{7}\u{2028}é🙂", " x ", "no", "-",
      "~", "a'b", ".5", "inf", "[a]", "/data/x-1",
    ] {
      sample.name = name
      sample.data = name == "~" ? nil : "d" + name
      sample.flip.toggle()
      var back = Sample()
      try Sample.keys.apply(yaml: Sample.keys.yaml(sample), file: "back", to: &back)
      #expect(back == sample, "\(name)")
      var again = Sample()
      try Sample.keys.set(Sample.keys.resolved(sample).map { "\($0.key)=\($0.value)" }, in: &again)
      #expect(again == sample, "\(name)")
    }
    // Numbers that YAML 1.1 readers take for numbers too.
    #expect(Sample.keys.yaml(sample).contains("capacity: 1.0e-07\n"))
  }

  @Test func yamlKeepsGroupsTogetherInTableOrder() {
    #expect(
      Sample.keys.yaml(Sample()) == """
        moe:
          experts: 8
          balance: all_choices
          capacity: null
          layers: [1, 3]
        optimizer:
          lr: 0.001
          clip: 1.0
          warmup:
            steps: null
        run:
          name: "a run"
        data:
          dir: null
          flip: true

        """)
  }

  @Test func differences() throws {
    var other = Sample()
    other.moe.experts = 16
    #expect(
      Sample.keys.differences(Sample(), other) == [
        ConfigDifference(key: "moe.experts", first: "8", second: "16")
      ])
  }

  /// Names of other programs are no keys; the error says which key is meant, whatever group stands before the name.
  @Test(arguments: [
    ("learning_rate", "optimizer.lr"), ("batch_size", "data.batch"), ("n_embd", "model.width"),
    ("n_layer", "model.layers"),
    ("n_head", "model.heads"), ("hidden_size", "model.width"), ("num_experts", "moe.experts"), ("top_k", "moe.variant"),
    ("num_train_epochs", "train.epochs"), ("wd", "optimizer.weight_decay"), ("dropout", "model.stochastic_depth"),
    ("max_steps", "train.steps"), ("warmup_steps", "schedule.warmup"), ("model.block-size", "model.context"),
    ("training.Learning_Rate", "optimizer.lr"),
  ])
  func synonymsNameTheKey(name: String, key: String) {
    var config = RunConfig()
    let error = #expect(throws: ConfigError.self) { try RunConfig.table.set("\(name)=1", in: &config) }
    let text = error?.description ?? ""
    #expect(text.hasPrefix("--set: unknown key \(name); did you mean \(key)?"), "\(text)")
    #expect(text.hasSuffix("`mmoe config` lists all keys") && config == RunConfig())
  }

  /// Every target of a synonym is a key, no synonym is one, and each means one thing.
  @Test func synonymsAreOfKeys() {
    let keys = Set(RunConfig.table.entries.map(\.key))
    let leaves = Set(keys.map { String($0.split(separator: ".").last!) })
    var seen: Set<String> = []
    for synonym in RunConfig.synonyms {
      #expect(keys.contains(synonym.key), "\(synonym.key) is no key")
      for name in synonym.names {
        #expect(!keys.contains(name) && !leaves.contains(name), "\(name) is a key")
        #expect(seen.insert(name).inserted, "\(name) stands twice")
        #expect(name == name.lowercased() && !name.contains("-") && !name.contains("."), "\(name) is never looked up")
      }
    }
    #expect(seen.count > 150)
  }

  /// A part of a name, a pattern, and what another program calls it.
  @Test func findsKeys() {
    func found(_ pattern: String) -> [String] { RunConfig.table.entries(matching: pattern).map(\.key) }
    #expect(found("optimizer.l") == ["optimizer.lr"] && found("*.LR") == ["optimizer.lr"])
    #expect(found("bias") == ["model.bias", "moe.bias_rate"] && found("m*bias") == ["model.bias"])
    #expect(found("learning_rate") == ["optimizer.lr"] && found("nonsense").isEmpty)
    #expect(found("lora.*").allSatisfy { $0.hasPrefix("lora.") } && !found("lora.*").isEmpty)
  }

  @Test func unreadableFilesAreNamed() throws {
    var sample = Sample()
    let missing = #expect(throws: ConfigError.self) {
      try Sample.keys.apply(file: "/nowhere/a.yaml", to: &sample)
    }
    #expect(
      missing?.description
        == "/nowhere/a.yaml: cannot be read (No such file or directory); check the path and its permissions"
    )
    try withPresets(["bad": "x"]) { folder in
      try Data([0xFF, 0xFE, 0x00]).write(to: URL(fileURLWithPath: "\(folder)/bad.yaml"))
      let bytes = #expect(throws: ConfigError.self) {
        try Sample.keys.apply(file: "\(folder)/bad.yaml", to: &sample)
      }
      #expect(bytes?.description.contains("expected UTF-8 text") == true)
    }
  }
}

/// Runs the body with a folder of presets, which is removed afterwards.
private func withPresets(_ presets: [String: String], _ body: (String) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
    "presets-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  for (name, text) in presets {
    try Data(text.utf8).write(to: folder.appendingPathComponent(name + ".yaml"))
  }
  try body(folder.path)
}

@Suite struct PresetLoaderTests {
  @Test func presetsInheritAndKeepTheirHeaderApart() throws {
    try withPresets([
      "base": "moe:\n  experts: 4\noptimizer:\n  lr: 0.5\n",
      "middle": "extends: base\nmoe:\n  experts: 16\n",
      "top": """
      extends: middle
      description: For tests.
      results:
        - measured: 91 % top-1
          command: mmoe train
          machine: two cores
      optimizer.clip: 2
      """,
    ]) { folder in
      let loader = PresetLoader(directories: ["/nowhere", folder])
      let preset = try loader.preset("top")
      #expect(preset.base == "middle" && preset.description == "For tests.")
      #expect(
        preset.results == [
          PresetResult(measured: "91 % top-1", command: "mmoe train", machine: "two cores")
        ])
      var sample = Sample()
      try Sample.keys.apply(preset, to: &sample)
      #expect(sample.moe.experts == 16 && sample.optimizer.lr == 0.5 && sample.optimizer.clip == 2)
      #expect(try loader.presets().map(\.name) == ["base", "middle", "top"])
      var same = Sample()
      try Sample.keys.apply(PresetLoader(directories: []).preset("\(folder)/top.yaml"), to: &same)
      #expect(same == sample)
    }
  }

  @Test func circlesAndMissingBasesAreErrors() throws {
    try withPresets([
      "a": "extends: b\n", "b": "\nextends: a\n", "self": "extends: self\n",
      "lost": "extends: bb\n",
      "list": "extends: [a]\n", "results": "results:\n  - measured: x\n",
      "bad": "extends: ok\nmoe.expert: 1\n",
      "ok": "moe.experts: none\n",
    ]) { folder in
      let loader = PresetLoader(directories: [folder])
      func message(_ name: String) -> String {
        var sample = Sample()
        do {
          try Sample.keys.apply(loader.preset(name), to: &sample)
          return "accepted"
        } catch { return "\(error)" }
      }
      #expect(
        message("a")
          == "\(folder)/b.yaml:2: extends: found the circle a → b → a, expected a chain that ends; remove one `extends`"
      )
      #expect(message("self").contains("the circle self → self"))
      #expect(message("lost").hasPrefix("\(folder)/lost.yaml:1: extends: found no preset"))
      #expect(message("lost").contains("the nearest is b,"))
      #expect(message("list").contains("extends: expected the name of a preset, found a list of 1"))
      #expect(
        message("results").contains(
          "results.yaml:2: results: expected maps with the keys measured, command, machine"))
      #expect(message("bad").hasPrefix("\(folder)/ok.yaml:1: moe.experts: expected"))
      #expect(message("resutls").contains("the nearest is results,"))
      #expect(message("../ok").contains("found no preset of this name"))
    }
    let empty = #expect(throws: ConfigError.self) {
      try PresetLoader(directories: ["/nowhere"]).preset("a")
    }
    #expect(empty?.description == "preset a: found no presets (*.yaml) in /nowhere")
  }
}
