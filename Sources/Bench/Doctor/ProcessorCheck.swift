import Foundation
import MMoEReport

/// The CPU, and how much of it is mmoe's.
enum ProcessorCheck {
  /// Threads that wanted to run, on average of the last minute.
  static var currentLoad: Double {
    var loads = [0.0]
    return getloadavg(&loads, 1) == 1 ? loads[0] : 0
  }

  static func finding(_ processor: Processor, _ limits: CoreLimits, load: Double) -> Finding {
    var finding = Finding("processor")
    let (there, missing) = (processor.extensions.filter(\.isThere), processor.extensions.filter { !$0.isThere })
    let words = there.map(\.name) + (missing.isEmpty ? [] : ["no " + missing.map(\.name).joined(separator: ", no ")])
    finding.lines.append(
      processor.level.map { "\(processor.name), \($0) (\(words.joined(separator: ", ")))" } ?? processor.name)
    finding.lines.append(
      "\(counted(processor.cores, "core")), \(counted(processor.threads, "thread")); \(min(limits.allowed, limits.threads)) of them for mmoe; load \(HumanFormat.fixed(load, 1))"
        + (limits.quota.map { "; the control group grants \(HumanFormat.fixed($0, 1)) cores" } ?? ""))
    finding.values = [
      "name": .string(processor.name), "level": processor.level.map { .string($0) } ?? .null,
      "kernels": .string(processor.kernels), "cores": .int(processor.cores),
      "hardware_threads": .int(processor.threads),
      "threads": .int(limits.threads), "allowed_threads": .int(min(limits.allowed, limits.threads)),
      "quota": limits.quota.map { .double($0) } ?? .null, "load": .double(load),
    ]
    for one in processor.extensions { finding.values[one.name.lowercased()] = .bool(one.isThere) }

    if let level = processor.level, level == "x86-64" || level == "x86-64-v2" {
      finding.notes.append(
        "this CPU has no AVX2, so products and kernels run at a quarter of the usual speed or less; in a virtual machine pass the host's CPU through"
      )
    } else if processor.level != nil, !processor.hasAVX512 {
      finding.notes.append(
        "this CPU has no AVX-512: float32 products take up to twice as long as with it, and dtype=bf16 is not available"
      )
    }
    if processor.hasAVX512, processor.kernels != "x86-64-v4" {
      finding.notes.append(
        "the kernels run at \(processor.kernels) though the CPU has AVX-512; build again on this machine")
    }
    if let quota = limits.quota, quota < Double(limits.threads) - 0.01 {
      finding.notes.append(
        "the control group grants \(HumanFormat.fixed(quota, 1)) cores for the \(limits.threads) threads that are started, which then wait for each other; give --threads \(max(1, Int(quota)))"
      )
    }
    if limits.allowed < limits.threads {
      finding.notes.append(
        "this process may run on \(counted(limits.allowed, "thread")) of the machine (taskset, a batch system or a container says so), and \(limits.threads) are started, which then wait for each other; give --threads \(limits.allowed)"
      )
    }
    // Threads of tiles wait for the slowest one.
    if load > 0.5 * Double(limits.threads) {
      finding.notes.append(
        "the load of the last minute is \(HumanFormat.fixed(load, 1)) on \(counted(limits.threads, "thread")): other programs compute, too, and mmoe waits for them; stop them, or give --threads \(max(1, limits.threads - Int(load.rounded())))"
      )
    }
    return finding
  }

  static func counted(_ count: Int, _ word: String) -> String { "\(count) \(word)\(count == 1 ? "" : "s")" }
}
