import Foundation
import MMoETensor
import TestSupport
import Testing

@testable import MMoEBench

/// What `mmoe doctor` makes of machines: those that it describes to itself, and the one that the tests run on.
@Suite struct DoctorTests {
  let scratch = ScratchFolder()

  private static let base = "sse2 sse4_2 ssse3 popcnt cx16"
  private static let v3 = base + " avx2 bmi1 bmi2 f16c fma movbe"
  private static let v4 = v3 + " avx512f avx512bw avx512cd avx512dq avx512vl"

  /// Two sockets of two cores with two threads each.
  private static func processor(_ flags: String, kernels: String = "x86-64-v4") -> Processor {
    let threads = (0..<8).map {
      "processor\t: \($0)\nmodel name\t: A CPU\nphysical id\t: \($0 / 4)\ncore id\t: \($0 % 2)\nflags\t\t: \(flags)\n"
    }
    return Processor(description: threads.joined(separator: "\n"), kernels: kernels)
  }

  @Test(
    arguments: [
      (v4 + " avx512_bf16 amx_tile", "x86-64-v4"), (v3, "x86-64-v3"), (base, "x86-64-v2"), ("sse2", "x86-64"),
      ("", nil),
      // A level has all of those below it.
      (v4.replacingOccurrences(of: "movbe", with: ""), "x86-64-v2"),
    ] as [(String, String?)])
  func knowsProcessors(flags: String, level: String?) {
    let processor = DoctorTests.processor(flags)
    #expect(processor.level == level && processor.threads == 8 && processor.cores == 4 && processor.name == "A CPU")
    #expect(processor.hasAMX == flags.contains("amx"))
    let plain = Processor(description: "processor\t: 0\n\nprocessor\t: 1\nFeatures\t: fp\n", kernels: "plain")
    #expect(plain.threads == 2 && plain.cores == 2 && plain.level == nil)
  }

  /// What slows mmoe down is said with its remedy, and nothing where nothing does.
  @Test(
    arguments: [
      (v4, 8, nil, 0.1, nil), (base, 8, nil, 0.1, "no AVX2"), (v3, 8, nil, 0.1, "no AVX-512"),
      (
        v4, 8, 2.5, 0.1,
        "grants 2.5 cores for the 8 threads that are started, which then wait for each other; give --threads 2"
      ),
      (v4, 2, nil, 0.1, "may run on 2 threads of the machine"), (v4, 8, nil, 6.2, "load of the last minute is 6.2"),
      (v4, 8, 8.0, 0.1, nil),
    ] as [(String, Int, Double?, Double, String?)])
  func saysWhatSlowsTheProcessor(flags: String, threads: Int, quota: Double?, load: Double, note: String?) {
    let finding = ProcessorCheck.finding(
      DoctorTests.processor(flags), CoreLimits(threads: 8, allowed: threads, quota: quota), load: load)
    #expect(finding.notes.count == (note == nil ? 0 : 1), "\(finding.notes)")
    #expect(note.map { finding.notes[0].contains($0) } ?? true, "\(finding.notes)")
    #expect(finding.problems.isEmpty)
  }

  /// Both versions of control groups, the limit of a group above the own one, and names that lead nowhere.
  @Test func readsQuotas() throws {
    func write(_ text: String, _ file: String) throws {
      let folder = URL(fileURLWithPath: scratch(file)).deletingLastPathComponent()
      try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
      try Data(text.utf8).write(to: URL(fileURLWithPath: scratch(file)))
    }
    #expect(CoreLimits.quota("0::/job/step\n", mount: scratch.path) == nil)
    try write("max 100000\n", "job/step/cpu.max")
    #expect(CoreLimits.quota("0::/job/step\n", mount: scratch.path) == nil)
    try write("250000 100000\n", "job/cpu.max")
    #expect(CoreLimits.quota("0::/job/step\n", mount: scratch.path) == 2.5)
    try write("-1\n", "cpu/a/cpu.cfs_quota_us")
    try write("50000\n", "cpu/cpu.cfs_quota_us")
    for folder in ["cpu/a/", "cpu/"] { try write("100000\n", folder + "cpu.cfs_period_us") }
    #expect(CoreLimits.quota("4:memory:/x\n2:cpu,cpuacct:/elsewhere/a\n", mount: scratch.path) == 0.5)
  }

  private static func rate(_ backend: BLASBackend, _ gflops: Double, single: Double = 60) -> ProductCheck.Rate {
    ProductCheck.Rate(backend: backend, dtype: .float32, library: "L", gflops: gflops, single: single)
  }

  /// Other kernels of OpenBLAS are tried where it is far behind, or where nothing tells on a CPU with AMX.
  @Test(
    arguments: [
      (50, 100, v4, false, "SKYLAKEX"), (50, 100, v3, false, "HASWELL"), (50, 100, base, false, nil),
      (90, 100, v4 + " amx_tile", false, nil), (50, 100, v4, true, nil), (50, nil, v4, false, nil),
      (50, nil, v4 + " amx_tile", false, "SKYLAKEX"),
    ] as [(Double, Double?, String, Bool, String?)])
  func triesOtherKernels(openBLAS: Double, oneDNN: Double?, flags: String, isChosen: Bool, expected: String?) {
    let rates = [DoctorTests.rate(.openBLAS, openBLAS)] + (oneDNN.map { [DoctorTests.rate(.oneDNN, $0)] } ?? [])
    #expect(ProductCheck.alternative(rates, DoctorTests.processor(flags), isChosen: isChosen) == expected)
  }

  @Test func saysWhichProductsAreSlow() {
    let preferred = BLASBackend.preferred
    #expect(
      ProductCheck.finding([DoctorTests.rate(preferred, 70)], threads: 2).notes.contains { $0.contains("1.2 times") })
    #expect(ProductCheck.finding([DoctorTests.rate(.openBLAS, 110)], threads: 2).notes[0].contains("libdnnl-dev"))
    #expect(ProductCheck.finding([], threads: 2).problems.count == 1)
    #expect(ProductCheck.finding([DoctorTests.rate(.oneDNN, 110)], threads: 2).problems.isEmpty)
  }

  @Test func saysWhyRanksDoNotStart() {
    let line = #"[{"bytes":64,"seconds":1e-6},{"bytes":1048576,"seconds":1e-4}]"#
    func finding(_ status: Int32, _ output: String, _ errors: String = "", isLate: Bool = false) -> Finding {
      RankCheck.finding(
        library: "Open MPI", hasLauncher: true,
        OwnProgram.Result(status: status, output: output, errors: errors, isLate: isLate), seconds: 2,
        sharedMemory: 1 << 30)
    }
    let fine = finding(0, "bytes ms\n" + line)
    #expect(fine.problems.isEmpty && fine.notes.isEmpty && fine.lines[0].contains("in 0.10 ms"), "\(fine)")
    #expect(finding(1, "", "no slots\nmore\n").problems[0].contains("(no slots)"))
    #expect(finding(9, "", isLate: true).problems[0].contains("(not done after 2.0s)"))
    #expect(finding(0, "nothing").problems.count == 1)
    let without = RankCheck.finding(library: "Open MPI", hasLauncher: false, nil, seconds: 0, sharedMemory: 64 << 20)
    #expect(without.problems[0].contains("install openmpi-bin") && without.notes[0].contains("--shm-size"))
  }

  @Test func saysWhatDisksLack() {
    func finding(_ free: Int, _ kind: String, isWritable: Bool = true, rate: Double? = nil) -> Finding {
      StorageCheck.finding([
        StorageCheck.Place(
          path: "/runs", use: "runs", system: FileSystem(size: 1 << 40, free: free, kind: kind), isWritable: isWritable,
          durableRate: rate)
      ])
    }
    let fine = finding(1 << 36, "ext4", rate: 5e8)
    #expect(fine.notes.isEmpty && fine.problems.isEmpty && fine.lines[0].contains("500.0 MB/s"))
    #expect(finding(1 << 20, "ext4").problems[0].contains("free space"))
    #expect(finding(1 << 30, "ext4").notes[0].contains("1.1 GB left"))
    #expect(finding(1 << 36, "tmpfs").notes[0].contains("in memory"))
    #expect(finding(1 << 36, "ext4", isWritable: false).notes[0].contains("--out DIR"))
    #expect(finding(1 << 36, "nfs4", rate: 1e7).notes[0].contains("checkpoint.background=true"))
    let mounts = "/dev/a / ext4 rw\ntmpfs /tmp tmpfs rw\n/dev/b /my\\040disk xfs rw\nover /tmp/x overlay rw\n"
    for (path, kind) in [
      ("/", "ext4"), ("/tmpx", "ext4"), ("/tmp", "tmpfs"), ("/my disk/a", "xfs"), ("/tmp/x/y", "overlay"),
    ] { #expect(FileSystem.kind(of: path, mounts: mounts) == kind) }
  }

  @Test func saysWhichPackagesAreMissing() {
    let packages = PackageCheck.parse(
      "plots and ranks\tneeded\tgnuplot-nox\tmissing\nspeech\toptional\tespeak-ng\tmissing\n--svg\toptional\tgraphviz\tinstalled\ntests\toptional\tespeak-ng\tmissing\njunk\n"
    )
    #expect(packages.map(\.name) == ["gnuplot-nox", "espeak-ng", "graphviz"])
    let finding = PackageCheck.finding(packages, "")
    #expect(
      finding.problems.count == 1 && finding.problems[0].contains("gnuplot-nox (plots and ranks); as root: apt-get"))
    #expect(finding.lines.joined().contains("espeak-ng (speech)") && !finding.lines.joined().contains("graphviz"))
    #expect(PackageCheck.finding(nil, "no Debian").problems.isEmpty)
  }

  @Test func sumsUpCaches() throws {
    let (own, earlier) = (scratch("own"), scratch("earlier"))
    for folder in [own + "/tokens/a", earlier] {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    try Data(count: 50_000).write(to: URL(fileURLWithPath: own + "/tokens/a/shard"))
    let finding = CacheCheck.finding(own, earlier: earlier)
    #expect(finding.lines.count == 1 && finding.lines[0].hasPrefix("\(own): tokens "), "\(finding.lines)")
    try Data(count: 10).write(to: URL(fileURLWithPath: earlier + "/words"))
    #expect(CacheCheck.finding(own, earlier: earlier).lines.last?.hasPrefix("\(earlier) (only read): words ") == true)
    try Data(count: 10).write(to: URL(fileURLWithPath: earlier + "/tokens"))
    #expect(CacheCheck.finding(own, earlier: earlier).notes.count == 1)
    #expect(CacheCheck.finding(own, earlier: own).notes.isEmpty)
    #expect(CacheCheck.finding(scratch("none"), earlier: scratch("no")).lines == ["\(scratch("none")): empty"])
  }

  /// The whole of it where no other program can be found: the one thing that does not work is the last line, alone.
  @Test func looksAtThisMachine() throws {
    let result = try ProgramRunner.run(["doctor", "--json"], in: scratch.path, environment: ["PATH": "/nowhere"])
    #expect(result.status == 1, "\(result.output)")
    #expect(result.errors.split(separator: "\n").count == 1 && result.errors.contains("mpirun"), "\(result.errors)")
    let line = Data((result.output.split(separator: "\n").last ?? "").utf8)
    let report = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
    let findings = try #require(report["findings"] as? [[String: Any]])
    func value(_ topic: String, _ name: String) -> Any? {
      (findings.first { $0["topic"] as? String == topic }?["values"] as? [String: Any])?[name]
    }
    #expect(report["works"] as? Bool == false && (report["libraries"] as? [String: String])?["HDF5"] != nil)
    #expect(findings.filter { ($0["problems"] as? [String])?.isEmpty == false }.count == 1)
    #expect(value("self-test", "same_losses") as? Bool == true && value("self-test", "same_bytes") as? Bool == true)
    #expect(try #require(value("self-test", "gradient") as? Double) < 0.01)
    #expect(try #require(value("self-test", "loss") as? Double) < 0.05)
    let products = value("products", "\(BLASBackend.preferred.rawValue)_float32") as? [String: Any]
    #expect(try #require(products?["gflops"] as? Double) > 0 && products?["preferred"] as? Bool == true)
    #expect(try #require(value("memory", "read_bytes_per_s") as? Double) > 0)
    #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
  }
}
