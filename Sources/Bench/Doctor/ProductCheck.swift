import Foundation
import MMoEReport
import MMoETensor

/// The libraries that multiply, and how fast they do it here.
enum ProductCheck {
  struct Rate: Sendable {
    let backend: BLASBackend
    let dtype: DType
    /// Library, version, kernels.
    let library: String
    /// On all threads, and on one.
    let gflops, single: Double
  }

  static let coreType = "OPENBLAS_CORETYPE"

  static func run(_ processor: Processor) -> Finding {
    let threads = ProcessInfo.processInfo.activeProcessorCount
    let kinds: [(BLASBackend, DType)] = [(.oneDNN, .float32), (.oneDNN, .bf16), (.openBLAS, .float32)]
    let rates = kinds.compactMap { backend, dtype -> Rate? in
      guard let engine = try? Engine(threads: threads, backend: backend, dtype: dtype),
        let alone = try? Engine(threads: 1, backend: backend, dtype: dtype)
      else { return nil }
      // Enough tiles for all threads.
      let gflops = ProductBenchmark.rate(engine, m: max(1024, 256 * threads), n: 1024, k: 1024, seconds: 0.3)
      let single =
        threads == 1 ? gflops : ProductBenchmark.rate(alone, m: 1024, n: 1024, k: 1024, seconds: 0.3)
      return Rate(backend: backend, dtype: dtype, library: engine.library, gflops: gflops, single: single)
    }
    var finding = finding(rates, threads: threads)
    let environment = ProcessInfo.processInfo.environment
    let openBLAS = rates.first { $0.backend == .openBLAS }
    if let openBLAS, let other = alternative(rates, processor, isChosen: environment[coreType] != nil),
      let gflops = rate(ofOpenBLASAs: other), gflops > 1.15 * openBLAS.gflops
    {
      finding.notes.append(
        "OpenBLAS chose slow kernels (\(openBLAS.library): \(fixed(openBLAS.gflops)) GFLOP/s); with \(coreType)=\(other) in the environment it has \(fixed(gflops))"
          + (BLASBackend.preferred == .oneDNN ? "; mmoe uses it only with --set tensor.blas=openblas" : ""))
    }
    return finding
  }

  static func finding(_ rates: [Rate], threads: Int) -> Finding {
    var finding = Finding("products")
    let preferred = BLASBackend.preferred
    for rate in rates {
      let use =
        switch (rate.backend == preferred, rate.dtype) {
        case (true, .float32): "what mmoe multiplies with"
        case (_, .bf16): "with --set dtype=bf16"
        case (false, .float32): "with --set tensor.blas=\(rate.backend.rawValue)"
        }
      finding.lines.append(
        "\(rate.library): \(fixed(rate.gflops)) GFLOP/s of \(rate.dtype.rawValue) on \(ProcessorCheck.counted(threads, "thread"))"
          + (threads > 1 ? ", \(fixed(rate.single)) on one" : "") + "; \(use)")
      finding.values["\(rate.backend.rawValue)_\(rate.dtype.rawValue)"] = .object([
        "library": .string(rate.library), "gflops": .double(rate.gflops), "gflops_of_one_thread": .double(rate.single),
        "preferred": .bool(rate.backend == preferred),
      ])
    }
    if rates.isEmpty {
      finding.problems.append("no library for matrix products can be loaded; install libopenblas-dev")
    }
    if !rates.contains(where: { $0.backend == .oneDNN }) {
      finding.notes.append(
        "oneDNN is not built in: products take some 10 % longer and dtype=bf16 is not available; install libdnnl-dev and build again"
      )
    }
    if let main = rates.first(where: { $0.backend == preferred && $0.dtype == .float32 }), threads > 1,
      main.gflops < 0.6 * Double(threads) * main.single
    {
      finding.notes.append(
        "\(threads) threads multiply only \(HumanFormat.fixed(main.gflops / main.single, 1)) times as fast as one: other programs use the cores, or pairs of threads share one; compare `mmoe bench gemm --threads N`"
      )
    }
    return finding
  }

  /// The kernels of OpenBLAS that may be faster than those that it chose; nil where there is no reason to try.
  ///
  /// OpenBLAS 0.3.21 gives CPUs with AMX kernels that reach a part of what those for plain AVX-512 do, and CPUs that it does
  /// not know some for much older ones.
  static func alternative(_ rates: [Rate], _ processor: Processor, isChosen: Bool) -> String? {
    guard !isChosen, let openBLAS = rates.first(where: { $0.backend == .openBLAS }) else { return nil }
    let other = rates.first { $0.backend == .oneDNN && $0.dtype == .float32 }
    let isSlow = other.map { openBLAS.gflops < 0.7 * $0.gflops } ?? processor.hasAMX
    guard isSlow else { return nil }
    if processor.hasAVX512 { return "SKYLAKEX" }
    return processor.level == "x86-64-v3" ? "HASWELL" : nil
  }

  /// What OpenBLAS reaches with other kernels, which it chooses when a process starts.
  private static func rate(ofOpenBLASAs core: String) -> Double? {
    let result = OwnProgram.run(
      ["bench", "gemm", "--rows", "512", "--width", "128", "--json"], environment: [coreType: core], timeout: 15)
    let line = result?.output.split(separator: "\n").last.map { Data($0.utf8) } ?? Data()
    let decoder = JSONDecoder()
    decoder.keyDecodingStrategy = .convertFromSnakeCase
    let rows = try? decoder.decode([ProductBenchmark.Row].self, from: line)
    return rows?.filter { $0.backend == BLASBackend.openBLAS.rawValue }.map(\.gflops).max()
  }

  private static func fixed(_ value: Double) -> String { HumanFormat.fixed(value, value < 10 ? 1 : 0) }
}
