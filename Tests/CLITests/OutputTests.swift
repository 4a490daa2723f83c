import Foundation
import TestSupport
import Testing

/// What becomes of a command whose standard output cannot be written, and how commands end at Ctrl-C or beside others.
@Suite struct OutputTests {
  private static let full = "/dev/full"

  /// A tokenizer of a few tokens.
  private static let tokenizer: (folder: ScratchFolder, path: String) = {
    let folder = ScratchFolder()
    try! Data("some text, some more text".utf8).write(to: URL(fileURLWithPath: folder("text")))
    let result = try! ProgramRunner.run(
      ["tokenizer", "train", folder("text"), "--vocabulary", "258", "--out", folder("tokens")])
    precondition(result.status == 0, result.errors)
    return (folder, folder("tokens"))
  }()

  /// A pipe's end whose reader has gone.
  private func closedPipe() -> FileHandle {
    let pipe = Pipe()
    try? pipe.fileHandleForReading.close()
    return pipe.fileHandleForWriting
  }

  @Test(
    .enabled(if: FileManager.default.fileExists(atPath: full), "no /dev/full here"),
    arguments: [
      ["presets"], ["--help"], ["train", "--help"],
      ["tokenizer", "decode", "--tokenizer", OutputTests.tokenizer.path, "65", "66"],
      ["train", "--task", "imagenet-subset", "--preset", "debug", "--dry-run", "--json"],
    ]) func fullDiskIsAFailure(way: [String]) throws
  {
    let result = try ProgramRunner.run(way, output: FileHandle(forWritingAtPath: OutputTests.full))
    #expect(result.status == 1)
    #expect(
      result.errors.hasSuffix(
        "standard output: cannot be written (No space left on device); free space, or send it elsewhere\n"),
      "\(result.errors)")
  }

  /// A descriptor that the caller has closed takes nothing, and no file of the program takes its number.
  @Test func closedOutputIsAFailure() throws {
    let result = try ProgramRunner.run(
      ["-c", "exec \"$0\" presets >&-", ProgramRunner.program], program: "/bin/bash")
    #expect(result.status == 1 && result.errors.contains("standard output: cannot be written (Bad"), "\(result.errors)")
  }

  @Test func lostReaderEndsACommandQuietly() throws {
    let result = try ProgramRunner.run(["presets"], output: closedPipe())
    #expect(result.status == 128 + SIGPIPE && result.errors.isEmpty, "\(result.errors)")
  }

  /// A training run goes on and saves, and its status says that something was lost.
  @Test(arguments: [false, true]) func trainingOutlivesItsOutput(isFull: Bool) throws {
    let folder = ScratchFolder()
    let output = isFull ? FileHandle(forWritingAtPath: OutputTests.full) : closedPipe()
    let result = try ProgramRunner.run(Program.training(["--steps", "2", "--out", folder("run")]), output: output)
    #expect(result.status == (isFull ? 1 : 128 + SIGPIPE))
    #expect(result.errors.hasSuffix("the run goes on without it and saves its checkpoints\n"), "\(result.errors)")
    #expect(result.errors.split(separator: "\n").count == 1)
    #expect(FileManager.default.fileExists(atPath: folder("run/step-0000002.h5")))
  }

  /// Dropped choices are in the metrics; the terminal says so too.
  /// A terminal that closes may hang up twice, by the shell and by the system: the run is saved all the same.
  @Test func hangingUpTwiceSaves() throws {
    let folder = ScratchFolder()
    let words = [ProgramRunner.program] + Program.training(["--steps", "100000", "--out", folder("run")])
    let script = """
      "$@" >/dev/null 2>&1 &
      for i in $(seq 600); do [ -s '\(folder("run"))/metrics.jsonl' ] && break; sleep 0.1; done
      kill -HUP $!; sleep 0.002; kill -HUP $!
      wait $!
      """
    let result = try ProgramRunner.run(["-c", script, "bash"] + words, program: "/bin/bash")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder("run"))
    #expect(result.status == 130 && names.contains { $0.hasPrefix("step-") }, "\(result.status) \(names)")
    for path in ["~/x", "~x"] {
      let refused = try ProgramRunner.run(Program.training(["--steps", "1", "--out", path]))
      #expect(refused.status == 1 && refused.errors.contains("write $HOME"), "\(refused.errors)")
    }
  }

  @Test func trainingSaysWhatItsGatesDid() throws {
    let folder = ScratchFolder()
    let result = try ProgramRunner.run(
      Program.training(["--steps", "1", "--out", folder("run"), "--set", "moe.capacity_factor=0.2"]))
    #expect(
      result.output.contains("routing     choices dropped in the last step: ")
        && result.output.contains("raise moe.capacity_factor, now 0.2"), "\(result.output)\(result.errors)")
  }

  /// Started beside others, a command that works alone refuses, in the words of the first process.
  @Test func refusesToBeOneOfSeveral() throws {
    func status(_ rank: Int, of count: Int, _ arguments: [String] = ["presets"]) throws -> ProgramRunner.Result {
      try ProgramRunner.run(
        arguments, environment: ["OMPI_COMM_WORLD_SIZE": "\(count)", "OMPI_COMM_WORLD_RANK": "\(rank)"])
    }
    let info = ["checkpoint", "info", "none"]
    let (first, second) = (try status(0, of: 2, info), try status(1, of: 2, info))
    #expect(first.status == 64 && first.errors.split(separator: "\n").count == 1, "\(first.errors)")
    #expect(first.errors.hasPrefix("a launcher started 2 processes"))
    #expect(second.status == 64 && second.errors.isEmpty && second.output.isEmpty)
    #expect(try status(0, of: 1).status == 0)
  }

  /// What is named for the end is looked at in the beginning: nothing was read or computed when these fail.
  @Test(arguments: [
    (Program.training(["--steps", "2", "--trace", "OUT"]), "--trace"),
    (Program.training(["--steps", "2", "--ranks", "2", "--trace", "OUT"]), "--trace"),
    (["trace", "plot", "no-trace", "--out", "OUT"], "--out"),
    (["simulate", "--plot", "OUT"], "--plot"),
    (["model", "describe", "no-preset", "--svg", "OUT"], "--svg"),
    (["retrieve", "a text", "--images", "none", "--out", "OUT"], "--out"),
    (["predict", "none.png", "--csv", "OUT"], "--csv"), (["predict", "none.png", "--sheet", "OUT"], "--sheet"),
    (["eval", "--predictions", "OUT"], "--predictions"), (["eval", "--confusion", "OUT"], "--confusion"),
    (["eval", "--worst", "3", "--sheet", "OUT"], "--sheet"),
    (["checkpoint", "average", "none.h5", "--out", "OUT"], "--out"),
    (["checkpoint", "convert", "none.h5", "--out", "OUT.safetensors"], "--out"),
    (["checkpoint", "merge", "none.h5", "--out", "OUT"], "--out"),
    (["checkpoint", "merge-lora", "none.h5", "--out", "OUT"], "--out"),
  ]) func outputFilesAreCheckedFirst(arguments: [String], option: String) throws {
    let folder = ScratchFolder()
    let place = folder("no folder/out")
    let result = try ProgramRunner.run(arguments.map { $0.replacing("OUT", with: place) }, in: folder.path)
    #expect(result.status == 1 && result.output.isEmpty)
    #expect(
      result.errors.contains("\(option) \(place)") && result.errors.contains("there is no folder"), "\(result.errors)")
    #expect(result.errors.contains("mkdir -p '\(folder("no folder"))'"), "\(result.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
  }

  @Test(arguments: [
    ["analyze", "routing", "none.h5", "--out", "OUT"], ["tokenizer", "train", "none.txt", "--out", "OUT"],
    ["data", "tokenize", "none.txt", "--tokenizer", "none", "--out", "OUT"],
    ["data", "import-bin", "none.bin", "--vocabulary", "9", "--out", "OUT"],
    ["data", "import", "emoji", "--font", "none", "--out", "OUT"], ["study", "none.yaml", "--out", "OUT"],
    ["checkpoint", "convert", "none.h5", "--out", "OUT"], Program.training(["--steps", "2", "--out", "OUT"]),
  ]) func outputFoldersAreCheckedFirst(arguments: [String]) throws {
    let folder = ScratchFolder()
    try Data().write(to: URL(fileURLWithPath: folder("file")))
    let place = folder("file/out")
    let result = try ProgramRunner.run(arguments.map { $0.replacing("OUT", with: place) }, in: folder.path)
    #expect(result.status == 1 && result.output.isEmpty)
    #expect(
      result.errors.contains("--out \(place): \(folder("file")) is a file, expected a folder"), "\(result.errors)")
  }

  /// A checkpoint is replaced by a checkpoint alone.
  @Test(arguments: [
    (["runs", "report", "none", "--out", "OUT"], "--out"), (["runs", "export", "none", "--csv", "OUT"], "--csv"),
    (["simulate", "--plot", "OUT"], "--plot"), (["predict", "none.png", "--csv", "OUT"], "--csv"),
    (Program.training(["--steps", "2", "--trace", "OUT"]), "--trace"),
  ]) func checkpointsAreNotReplaced(arguments: [String], option: String) throws {
    let folder = ScratchFolder()
    let place = folder("step-0000010.h5")
    try Data("MMOECKPT and weights".utf8).write(to: URL(fileURLWithPath: place))
    let result = try ProgramRunner.run(arguments.map { $0.replacing("OUT", with: place) }, in: folder.path)
    #expect(
      result.status == 1 && result.errors.contains("\(option) \(place): a checkpoint, expected"), "\(result.errors)")
    #expect(try Data(contentsOf: URL(fileURLWithPath: place)) == Data("MMOECKPT and weights".utf8))
  }

  /// Neither a folder nor a device is replaced by a file.
  @Test func outputsReplaceNoDevice() throws {
    let folder = ScratchFolder()
    for (name, reason) in [("/dev/full", "no regular file"), (folder.path, "a folder, expected a file")] {
      let result = try ProgramRunner.run(["simulate", "--plot", name])
      #expect(result.status == 1 && result.errors.contains("--plot \(name): \(reason)"), "\(result.errors)")
    }
  }

  /// The command that a run suggests can be pasted into a shell, whatever its folder is called.
  @Test func nextCommandRuns() throws {
    let folder = ScratchFolder()
    let run = folder("it's a run; $(touch made)")
    let result = try ProgramRunner.run(Program.training(["--steps", "1", "--out", run]), in: folder.path)
    let line = result.output.split(separator: "\n").last { $0.hasPrefix("next ") } ?? ""
    let command = line.dropFirst("next".count).trimmingCharacters(in: .whitespaces)
    #expect(command.hasPrefix("mmoe eval"), "\(result.errors)")
    let next = try ProgramRunner.run(
      ["-c", "mmoe() { \"$0\" \"$@\"; }; \(command)", ProgramRunner.program], program: "/bin/bash", in: folder.path)
    #expect(next.status == 0 && next.output.contains("32 images"), "\(next.errors)")
    #expect(!FileManager.default.fileExists(atPath: folder("made")))
  }

  /// Before there is anything to save, Ctrl-C ends a command in one line.
  @Test func interruptAtOnceIsOneLine() throws {
    let folder = ScratchFolder()
    // It reads a text that never ends.
    let process = Process()
    process.executableURL = URL(fileURLWithPath: ProgramRunner.program)
    process.arguments = ["tokenizer", "encode", "--tokenizer", OutputTests.tokenizer.path]
    let (input, file) = (Pipe(), folder("errors"))
    try Data().write(to: URL(fileURLWithPath: file))
    process.standardInput = input
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle(forWritingAtPath: file)
    // A job in the background may have been told to ignore it.
    signal(SIGINT, SIG_DFL)
    try process.run()
    while process.isRunning, !catches(SIGINT, process.processIdentifier) { usleep(1000) }
    kill(process.processIdentifier, SIGINT)
    for _ in 0..<2000 where process.isRunning { usleep(10_000) }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 130)
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "interrupted\n")
  }

  /// Whether a process has a handler for a signal.
  private func catches(_ number: Int32, _ process: Int32) -> Bool {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") } ?? ""
    let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) ?? 0
    return mask & 1 << UInt64(number - 1) != 0
  }

  /// On a terminal tables fit it, whatever COLUMNS says; where the terminal does not know its width COLUMNS counts, and without
  /// one nothing is folded.
  @Test(
    .enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/script"), "bsdutils is not installed"),
    arguments: [("stty cols 80; COLUMNS=200", 80), ("stty cols 0; COLUMNS=90", 90)])
  func tablesFitTheTerminal(setting: String, width: Int) throws {
    let command = "'\(ProgramRunner.program)' config 'moe.*'"
    let shown = try ProgramRunner.run(
      ["-qec", "\(setting) \(command)", "/dev/null"], program: "/usr/bin/script", environment: ["NO_COLOR": "1"])
    let lines = shown.output.split(whereSeparator: \.isNewline)
    #expect(shown.status == 0 && lines.contains { $0.hasPrefix("moe.experts ") }, "\(shown.output)")
    #expect(lines.map(\.count).max() ?? 0 <= width, "\(shown.output)")
    let piped = try ProgramRunner.run(["-c", "COLUMNS=60 \(command)"], program: "/bin/bash").output
    #expect(piped.split(separator: "\n").map(\.count).max() ?? 0 > 150)
  }
}
