import CKernels
import Foundation

/// The CPU as the kernel describes it.
struct Processor: Sendable {
  let name: String
  let flags: Set<String>
  /// Threads that the machine has, and the cores that they share.
  let threads, cores: Int
  /// The level that our own kernels run at.
  let kernels: String

  static var current: Processor {
    let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    return Processor(description: text, kernels: String(cString: mmoe_kernel_level()))
  }

  /// - Parameter description: the text of /proc/cpuinfo: a paragraph for each thread.
  init(description: String, kernels: String) {
    let threads = description.components(separatedBy: "\n\n").map { paragraph in
      paragraph.split(separator: "\n").reduce(into: [String: String]()) { fields, line in
        guard let colon = line.firstIndex(of: ":") else { return }
        fields[line[..<colon].trimmingCharacters(in: .whitespaces)] =
          line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
      }
    }.filter { $0["processor"] != nil }
    let first = threads.first ?? [:]
    name = first["model name"] ?? first["Processor"] ?? "a processor without a name"
    flags = Set((first["flags"] ?? first["Features"] ?? "").split(separator: " ").map(String.init))
    self.threads = max(threads.count, 1)
    // Without numbers, as in some virtual machines, every thread is a core.
    cores = max(Set(threads.map { "\($0["physical id"] ?? "") \($0["core id"] ?? $0["processor"] ?? "")" }).count, 1)
    self.kernels = kernels
  }

  /// The level of the x86-64 ABI; nil for other architectures.
  var level: String? {
    let levels: [(String, Set<String>)] = [
      ("x86-64-v4", ["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
      ("x86-64-v3", ["avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"]),
      ("x86-64-v2", ["sse4_2", "ssse3", "popcnt", "cx16"]),
    ]
    // Each level has all below it.
    let lacking = levels.map { !$0.1.isSubset(of: flags) }
    for (index, level) in levels.enumerated() where !lacking[index...].contains(true) { return level.0 }
    return flags.contains("sse2") ? "x86-64" : nil
  }

  var hasAVX512: Bool { level == "x86-64-v4" }
  var hasAMX: Bool { flags.contains("amx_tile") }

  /// Instructions that products can use, those that are missing included.
  var extensions: [(name: String, isThere: Bool)] {
    [
      ("AVX2", flags.contains("avx2")), ("AVX-512", hasAVX512), ("BF16", flags.contains("avx512_bf16")),
      ("AMX", hasAMX),
    ]
  }
}
