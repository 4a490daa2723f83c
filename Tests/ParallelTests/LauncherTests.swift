import Foundation
import TestSupport
import Testing

@testable import MMoEParallel

/// `mmoe train --ranks`: what the launcher owes to the ranks behind it, and to who started it.
@Suite(.serialized) struct LauncherTests {
  private func training(_ more: [String]) -> [String] {
    [
      "train", "--task", "imagenet-subset", "--preset", "debug", "--threads", "1", "--data", RankTrainTests.data.path,
      "--ranks", "2",
    ] + more
  }

  /// Ranks write to mpirun's pseudo-terminal; a file gets plain lines all the same. A lost output is seen by the launcher.
  @Test(.needsRanks) func redirectedOutputIsPlain() throws {
    let folder = ScratchFolder()
    let file = try ProgramRunner.run(training(["--steps", "2", "--out", folder("file")]))
    #expect(file.status == 0 && file.output.contains("checkpoint"), "\(file.errors)")
    #expect(!file.output.contains("\u{1B}") && !file.output.contains("\r"), "\(file.output)")
    let full = try ProgramRunner.run(
      training(["--steps", "2", "--out", folder("full")]), output: FileHandle(forWritingAtPath: "/dev/full"))
    #expect(full.status == 1 && full.errors.contains("standard output: cannot be written"), "\(full.errors)")
    #expect(FileManager.default.fileExists(atPath: folder("full/step-0000002.h5")))
  }

  /// Ctrl-C before the ranks can save ends all in one line, wherever it meets them: in mpirun, or in their own start.
  @Test(.needsRanks, arguments: [0.02, 0.1, 0.3]) func interruptAtTheStartIsOneLine(seconds: Double) throws {
    let folder = ScratchFolder()
    try Data().write(to: URL(fileURLWithPath: folder("errors")))
    let process = Process()
    process.executableURL = URL(fileURLWithPath: ProgramRunner.program)
    process.arguments = training(["--steps", "1000000", "--out", folder("run")])
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle(forWritingAtPath: folder("errors"))
    try process.run()
    // From the moment at which the program takes the signal.
    while process.isRunning, !catches(SIGINT, process.processIdentifier) { usleep(1000) }
    usleep(UInt32(seconds * 1e6))
    kill(process.processIdentifier, SIGINT)
    #expect(wait { !process.isRunning })
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    #expect(process.terminationStatus == 130)
    // On a fast machine it has begun, and has saved.
    let names = (try? FileManager.default.contentsOfDirectory(atPath: folder("run"))) ?? []
    let saved = names.contains { $0.hasPrefix("step-") }
    let errors = try String(contentsOfFile: folder("errors"), encoding: .utf8)
    // A library of mpirun's says something of its own where /sys is missing, as in some containers.
    let lines = errors.split(separator: "\n").filter { !$0.hasPrefix("[hwloc") }
    #expect(lines == (saved ? [] : ["interrupted"]), "\(errors)")
    #expect(wait { processes(with: folder("run")).isEmpty })
  }

  /// Whether a process has a handler for a signal.
  private func catches(_ number: Int32, _ process: Int32) -> Bool {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("SigCgt:") } ?? ""
    let mask = UInt64(line.dropFirst(7).trimmingCharacters(in: .whitespaces), radix: 16) ?? 0
    return mask & 1 << UInt64(number - 1) != 0
  }

  private func wait(_ condition: () -> Bool) -> Bool {
    for _ in 0..<3000 {
      if condition() { return true }
      usleep(10_000)
    }
    return false
  }

  /// A launcher that is killed, even by SIGKILL, leaves neither mpirun nor ranks.
  @Test(.needsRanks) func killedLauncherLeavesNobody() throws {
    let folder = ScratchFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: ProgramRunner.program)
    process.arguments = training(["--steps", "1000000", "--out", folder("run")])
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    try process.run()
    #expect(wait { FileManager.default.fileExists(atPath: folder("run/metrics.jsonl")) })
    // mpirun, two ranks and the launcher.
    #expect(processes(with: folder("run")).count >= 4)
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
    #expect(wait { processes(with: folder("run")).isEmpty }, "\(processes(with: folder("run")))")
    for left in processes(with: folder("run")) { kill(left, SIGKILL) }
  }

  /// Processes that have a word on their command line.
  private func processes(with word: String) -> [pid_t] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
    return names.compactMap { pid_t($0) }.filter { process in
      let words = FileManager.default.contents(atPath: "/proc/\(process)/cmdline") ?? Data()
      return words.split(separator: 0).contains { $0.elementsEqual(word.utf8) }
    }
  }

  @Test(
    arguments: [
      ([:], nil), (["OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"], nil),
      (["OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"], "2 processes"),
      (["PMI_RANK": "3", "PMI_SIZE": "8"], "8 processes"), (["PMIX_RANK": "0"], "several processes"),
      (["PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"], nil),
      (["SLURM_PROCID": "0", "SLURM_STEP_NUM_TASKS": "4"], "4 processes"),
      // The batch script itself, in an allocation of several tasks.
      (["SLURM_PROCID": "0", "SLURM_NTASKS": "4"], nil),
    ] as [([String: String], String?)])
  func severalProcessesAreRefused(environment: [String: String], expected: String?) {
    let refusal = ParallelProcess.refusal(environment)
    #expect((refusal == nil) == (expected == nil))
    if let expected { #expect(refusal?.contains("a launcher started \(expected)") == true) }
  }
}
