<?php

declare(strict_types=1);

namespace Magento\Framework\Console;

use Magento\Framework\App\DeploymentConfig;
use Magento\Framework\App\Export;
use Magento\Framework\App\Services;
use Magento\Framework\Code\Compiler;
use Magento\Framework\Component\ComponentRegistrar;
use Magento\Framework\Deploy\StaticContent;
use Magento\Framework\Module\Modules;

/**
 * Stand-in for Magento's command line; README.md of the store lists what it keeps of the contract.
 *
 * Exit codes: 0 done, 1 failed, 2 "needed" of the two status commands, 255 out of memory.
 */
final class Cli
{
    private const OK = 0;
    private const FAILED = 1;
    private const NEEDED = 2;
    private const OUT_OF_MEMORY = 255;
    private const COMPILE_NEEDS_BYTES = 512 << 20;

    private const COMMANDS = [
        'app:config:dump' => 'configDump',
        'app:config:import' => 'configImport',
        'app:config:status' => 'configStatus',
        'cache:clean' => 'cacheFlush',
        'cache:flush' => 'cacheFlush',
        'cache:status' => 'cacheStatus',
        'cron:run' => 'cronRun',
        'indexer:reindex' => 'indexerReindex',
        'info:language:list' => 'languageList',
        'maintenance:disable' => 'maintenanceDisable',
        'maintenance:enable' => 'maintenanceEnable',
        'maintenance:status' => 'maintenanceStatus',
        'module:enable' => 'moduleEnable',
        'module:status' => 'moduleStatus',
        'setup:db:status' => 'dbStatus',
        'setup:di:compile' => 'compile',
        'setup:install' => 'install',
        'setup:static-content:deploy' => 'staticContent',
        'setup:upgrade' => 'upgrade',
    ];

    /** Without an env.php these do not exist, as in Magento. */
    private const NEED_INSTALLATION = ['app', 'cache', 'cron', 'indexer'];

    /** Where a store's languages come from besides language packs. */
    private const LOCALES = ['de_DE' => 'German (Germany)', 'en_GB' => 'English (United Kingdom)', 'en_US' => 'English (United States)',
        'es_ES' => 'Spanish (Spain)', 'fr_FR' => 'French (France)', 'it_IT' => 'Italian (Italy)', 'nl_NL' => 'Dutch (Netherlands)'];

    private DeploymentConfig $config;
    private Modules $modules;

    public function __construct(private string $root)
    {
        $this->config = new DeploymentConfig($root);
        $this->modules = new Modules($this->config);
    }

    /** @param string[] $argv */
    public function run(array $argv): int
    {
        $words = array_slice($argv, 1);
        try {
            $command = $this->takeCommand($words);
            if ($command === null) {
                return self::OK;
            }
            return $this->{self::COMMANDS[$command]}($words);
        } catch (\Throwable $e) {
            fwrite(STDERR, "\nIn " . basename($e->getFile()) . ' line ' . $e->getLine() . ":\n\n  " . $e->getMessage() . "\n\n");
            return self::FAILED;
        }
    }

    /** @return string|null the command, taken out of $words; null when there was nothing to run */
    private function takeCommand(array &$words): ?string
    {
        foreach ($words as $i => $word) {
            if (in_array($word, ['--version', '-V'], true)) {
                $this->line($this->version());
                return null;
            }
            if (!str_starts_with($word, '-')) {
                unset($words[$i]);
                $words = array_values($words);
                return $this->known($word);
            }
        }
        $this->known('list');
        return null;
    }

    private function known(string $command): ?string
    {
        $namespace = strstr($command, ':', true) ?: $command;
        $installed = $this->config->exists('env.php');
        $available = array_filter(
            array_keys(self::COMMANDS),
            static fn(string $name): bool => $installed || !in_array(strstr($name, ':', true), self::NEED_INSTALLATION, true)
        );
        if ($command === 'list') {
            $this->line($this->version() . "\n\nAvailable commands:\n  " . implode("\n  ", $available));
            return null;
        }
        if (!in_array($command, $available, true)) {
            $namespaces = array_map(static fn(string $name): string => strstr($name, ':', true), $available);
            throw new InvalidInput(in_array($namespace, $namespaces, true)
                ? "Command \"$command\" is not defined."
                : "There are no commands defined in the \"$namespace\" namespace.");
        }
        return $command;
    }

    private function version(): string
    {
        $version = \Composer\InstalledVersions::getPrettyVersion('magento/product-community-edition');
        return "Magento CLI $version (stand-in for tests)";
    }

    private function compile(array $words): int
    {
        new Input($words);
        if (!$this->modules->configured()) {
            $this->line("You cannot run this command because modules are not enabled. "
                . "You can enable modules by running the 'module:enable --all' command.");
            return self::FAILED;
        }
        if ($this->memoryLimit() < self::COMPILE_NEEDS_BYTES) {
            fwrite(STDERR, "PHP Fatal error:  Allowed memory size of {$this->memoryLimit()} bytes exhausted "
                . "(tried to allocate 20480 bytes) in " . __FILE__ . ' on line ' . __LINE__ . "\n");
            return self::OUT_OF_MEMORY;
        }
        $this->services()->requireCache();
        $this->line('Compilation was started.');
        (new Compiler($this->root, $this->modules))->run($this->line(...));
        $this->line('Generated code and dependency injection configuration successfully.');

        // The original asks for the database only now, after it printed that all went well.
        $installedWithoutDatabase = $this->config->get('install/date') !== null && !$this->services()->hasDatabase();
        if ($installedWithoutDatabase || $this->config->overrides() !== []) {
            $this->services()->requireDatabase();
        }
        return self::OK;
    }

    private function staticContent(array $words): int
    {
        $flags = ['force', 'no-parent', 'no-js-bundle', 'no-javascript', 'no-css', 'no-less', 'no-fonts', 'no-images', 'no-html',
            'no-misc', 'no-html-minify', 'symlink-locale', 'refresh-content-version-only'];
        $valued = ['area', 'exclude-area', 'theme', 'exclude-theme', 'language', 'exclude-language', 'strategy', 'jobs',
            'max-execution-time', 'content-version'];
        $input = new Input($words, $flags, $valued, ['f' => 'force', 'a' => 'area', 't' => 'theme', 'l' => 'language', 's' => 'strategy', 'j' => 'jobs']);
        $locales = [...$input->values('language'), ...array_diff($input->arguments, ['all'])];
        $this->validateStaticContent($input, $locales);

        $mode = getenv('MAGE_MODE') ?: $this->config->get('MAGE_MODE') ?? 'default';
        if ($mode !== 'production' && !$input->has('force')) {
            $this->line("\nNOTE: Manual static content deployment is not required in \"default\" and \"developer\" modes.\n"
                . "Use -f (--force) to deploy in these modes anyway.");
            return self::FAILED;
        }
        Export::write($this->root . '/pub/static/deployed_version.txt', $input->value('content-version') ?? (string) time());
        if ($input->has('refresh-content-version-only')) {
            return self::OK;
        }
        $this->requireScopes();
        if (!file_exists($this->root . '/generated/metadata/global.php')) {
            (new Compiler($this->root, $this->modules))->generateOnDemand('Magento_Theme');
        }

        $started = hrtime(true);
        $this->line('Deploy using ' . ($input->value('strategy') ?? 'quick') . ' strategy');
        (new StaticContent($this->root, $this->config, $this->modules))->deploy([
            'areas' => array_diff($input->values('area') ?: ['adminhtml', 'frontend'], $input->values('exclude-area')),
            'themes' => $input->values('theme'),
            'locales' => $locales,
            'parents' => !$input->has('no-parent'),
            'bundle' => !$input->has('no-js-bundle'),
        ], $input->has('verbose') ? $this->line(...) : static fn(string $line) => null);
        $this->line(sprintf('Execution time: %.3f', (hrtime(true) - $started) / 1e9));
        return self::OK;
    }

    private function validateStaticContent(Input $input, array $locales): void
    {
        foreach ($locales as $locale) {
            if (!isset(self::LOCALES[$locale])) {
                throw new InvalidInput("$locale argument has invalid value, please run info:language:list for list of available locales");
            }
        }
        if (preg_match('~^[A-Za-z0-9_.]*$~', $input->value('content-version') ?? '') !== 1) {
            throw new InvalidInput('Argument "content-version" has invalid value, content version should contain only characters, digits and dots');
        }
        $strategy = $input->value('strategy') ?? 'quick';
        if (!in_array($strategy, ['quick', 'standard', 'compact'], true)) {
            throw new InvalidInput("Wrong deploy strategy type: $strategy");
        }
        if ($strategy === 'compact' && $input->has('no-parent')) {
            throw new InvalidInput('Argument "no-parent" is not supported with "compact" strategy');
        }
    }

    private function requireScopes(): void
    {
        if (!$this->modules->configured()) {
            throw new \RuntimeException('Missing required argument $sources of Magento\Framework\App\Config\InitialConfigSource.');
        }
        $services = $this->services();
        $services->requireCache();
        if ($services->hasDatabase() || $this->config->overrides() !== []) {
            $services->requireDatabase();
            return;
        }
        $scopes = $this->config->file('config.php')['scopes'] ?? [];
        $hasDefault = in_array('1', array_map('strval', array_column($scopes['websites'] ?? [], 'is_default')), true);
        if (!$hasDefault || $this->config->get('install/date') !== null) {
            throw new \RuntimeException("The default website isn't defined. Set the website and try again.");
        }
    }

    private function moduleEnable(array $words): int
    {
        $input = new Input($words, ['all', 'force', 'clear-static-content'], [], ['f' => 'force', 'c' => 'clear-static-content']);
        $installed = array_keys($this->modules->installed());
        $wanted = $input->has('all') ? $installed : $input->arguments;
        if ($wanted === []) {
            throw new InvalidInput('No modules specified. Specify a space-separated list of modules or use the --all option');
        }
        if (($unknown = array_diff($wanted, $installed)) !== []) {
            throw new InvalidInput('Unknown module(s): \'' . implode("', '", $unknown) . "'");
        }
        $known = $this->config->file('config.php')['modules'] ?? [];
        $states = [];
        foreach ($installed as $name) {
            $states[$name] = in_array($name, $wanted, true) ? 1 : $known[$name] ?? 0;
        }
        $new = array_keys(array_diff_assoc($states, $known));
        if ($new === []) {
            $this->line('No modules were changed.');
            return self::OK;
        }
        $this->config->writeConfig(['modules' => $states]);
        $this->line("The following modules have been enabled:\n- " . implode("\n- ", $new));
        return self::OK;
    }

    private function moduleStatus(array $words): int
    {
        $input = new Input($words, ['enabled', 'disabled']);
        $enabled = array_keys($this->modules->enabled());
        $disabled = array_values(array_diff(array_keys($this->modules->installed()), $enabled));
        foreach ($input->arguments as $name) {
            $this->line("$name : Module is " . (in_array($name, $enabled, true) ? 'enabled' : 'disabled'));
        }
        if ($input->arguments !== []) {
            return self::OK;
        }
        if ($input->has('enabled') || $input->has('disabled')) {
            $this->line(implode("\n", $input->has('enabled') ? $enabled : $disabled));
            return self::OK;
        }
        $this->line("List of enabled modules:\n" . (implode("\n", $enabled) ?: 'None'));
        $this->line("\nList of disabled modules:\n" . (implode("\n", $disabled) ?: 'None'));
        return self::OK;
    }

    private function languageList(array $words): int
    {
        new Input($words);
        foreach (self::LOCALES as $code => $name) {
            $this->line(sprintf('| %-28s | %s |', $name, $code));
        }
        return self::OK;
    }

    private function dbStatus(array $words): int
    {
        new Input($words);
        if ($this->config->get('install/date') === null) {
            $this->line('No information is available: the Magento application is not installed.');
            return self::FAILED;
        }
        $this->services()->requireDatabase();
        if (($this->services()->state()['schema'] ?? '') === $this->schema()) {
            $this->line('All modules are up to date.');
            return self::OK;
        }
        $this->line("Declarative Schema is not up to date\nRun 'setup:upgrade' to update your DB schema and data.");
        return self::NEEDED;
    }

    private function upgrade(array $words): int
    {
        $input = new Input($words, ['keep-generated', 'dry-run', 'convert-old-scripts'], ['safe-mode', 'data-restore']);
        if ($this->config->get('install/date') === null) {
            throw new \RuntimeException('The Magento application is not installed.');
        }
        foreach (['app/etc', 'var'] as $directory) {
            if (!is_writable("$this->root/$directory")) {
                throw new \RuntimeException("The directory $this->root/$directory is not writable");
            }
        }
        $services = $this->services();
        $services->requireAll();
        $services->requireSearch();
        if (!$input->has('keep-generated')) {
            $this->clear('generated/code');
            $this->clear('generated/metadata');
        }
        $services->writeState(['schema' => $this->schema(), 'config' => $this->configHash()]);
        $this->line('Schema creation/updates: done');
        return self::OK;
    }

    private function install(array $words): int
    {
        $this->line((new Installer($this->root, $this->config))->run(new Input($words, ['no-interaction'], Installer::OPTIONS)));
        $this->services()->writeState(['schema' => $this->schema(), 'config' => $this->configHash()]);
        return self::OK;
    }

    private function configStatus(array $words): int
    {
        new Input($words);
        $this->services()->requireDatabase();
        if (($this->services()->state()['config'] ?? '') === $this->configHash()) {
            $this->line('Config files are up to date.');
            return self::OK;
        }
        $this->line('Config files have changed. Run app:config:import or setup:upgrade command to synchronize configuration.');
        return self::NEEDED;
    }

    private function configImport(array $words): int
    {
        new Input($words);
        $this->services()->requireDatabase();
        $this->services()->writeState(array_replace($this->services()->state(), ['config' => $this->configHash()]));
        $this->line('Configuration import: done');
        return self::OK;
    }

    private function configDump(array $words): int
    {
        $input = new Input($words);
        $this->services()->requireDatabase();
        $store = static fn(int $id, string $code): array => ['store_id' => "$id", 'code' => $code, 'website_id' => "$id",
            'group_id' => "$id", 'name' => ucfirst($code), 'sort_order' => '0', 'is_active' => '1'];
        $website = static fn(int $id, string $code): array => ['website_id' => "$id", 'code' => $code, 'name' => ucfirst($code),
            'sort_order' => '0', 'default_group_id' => "$id", 'is_default' => "$id"];
        $group = static fn(int $id, string $code): array => ['group_id' => "$id", 'website_id' => "$id", 'name' => ucfirst($code),
            'root_category_id' => "$id", 'default_store_id' => "$id", 'code' => $code];
        $sections = [
            'scopes' => [
                'websites' => ['admin' => $website(0, 'admin'), 'base' => $website(1, 'base')],
                'groups' => [$group(0, 'default'), $group(1, 'main_website_store')],
                'stores' => ['admin' => $store(0, 'admin'), 'default' => $store(1, 'default')],
            ],
            'themes' => [],
        ];
        foreach (\Magento\Framework\Deploy\Theme::all() as $name => $theme) {
            $sections['themes'][$name] = ['parent_id' => $theme->parent?->code, 'theme_path' => $theme->code,
                'theme_title' => $theme->code, 'is_featured' => '0', 'area' => $theme->area, 'type' => '0', 'code' => $theme->code];
        }
        $wanted = array_intersect_key($sections, array_flip($input->arguments ?: array_keys($sections)));
        $this->config->writeConfig($wanted);
        $this->line('Done. Config types dumped: ' . implode(', ', array_keys($wanted)));
        return self::OK;
    }

    private function cacheFlush(array $words): int
    {
        new Input($words);
        $this->services()->requireCache();
        $this->clear('var/cache');
        $this->line("Flushed cache types:\nconfig\nlayout\nblock_html\nfull_page");
        return self::OK;
    }

    private function cacheStatus(array $words): int
    {
        new Input($words);
        $this->line('Current status:');
        foreach ($this->config->get('cache_types') ?? [] as $type => $on) {
            $this->line(sprintf('%30s: %d', $type, $on));
        }
        return self::OK;
    }

    private function cronRun(array $words): int
    {
        new Input($words, [], ['group', 'bootstrap', 'exclude-group']);
        $this->services()->requireDatabase();
        $this->line('Ran jobs by schedule.');
        return self::OK;
    }

    private function indexerReindex(array $words): int
    {
        new Input($words);
        $this->services()->requireDatabase();
        $this->services()->requireSearch();
        $this->line('Catalog Search index has been rebuilt successfully');
        return self::OK;
    }

    private function maintenanceEnable(array $words): int
    {
        $input = new Input($words, [], ['ip']);
        Export::write($this->root . '/var/.maintenance.flag', '');
        if ($input->values('ip') !== []) {
            Export::write($this->root . '/var/.maintenance.ip', implode(',', $input->values('ip')));
        }
        $this->line('Enabled maintenance mode');
        return self::OK;
    }

    private function maintenanceDisable(array $words): int
    {
        new Input($words, [], ['ip']);
        @unlink($this->root . '/var/.maintenance.flag');
        $this->line('Disabled maintenance mode');
        return self::OK;
    }

    private function maintenanceStatus(array $words): int
    {
        new Input($words);
        $this->line('Status: maintenance mode is ' . (file_exists($this->root . '/var/.maintenance.flag') ? 'active' : 'not active'));
        return self::OK;
    }

    private function services(): Services
    {
        return new Services($this->config->all());
    }

    /** @return string what the database must look like for the enabled modules: their names and versions of composer */
    private function schema(): string
    {
        $parts = [];
        foreach ($this->modules->enabled() as $name => $directory) {
            $schema = "$directory/etc/db_schema.xml";
            $parts[] = $name . ':' . (file_exists($schema) ? hash_file('sha256', $schema) : '');
        }
        return hash('sha256', implode("\n", $parts));
    }

    private function configHash(): string
    {
        $config = $this->config->file('config.php');
        return hash('sha256', json_encode([$config['scopes'] ?? null, $config['themes'] ?? null, $config['system'] ?? null]));
    }

    private function memoryLimit(): int
    {
        $limit = ini_get('memory_limit');
        $unit = ['K' => 10, 'M' => 20, 'G' => 30][strtoupper(substr($limit, -1))] ?? 0;
        return (int) $limit < 0 ? PHP_INT_MAX : (int) $limit << $unit;
    }

    private function clear(string $directory): void
    {
        if (!is_dir("$this->root/$directory")) {
            return;
        }
        $iterator = new \RecursiveIteratorIterator(
            new \RecursiveDirectoryIterator("$this->root/$directory", \FilesystemIterator::SKIP_DOTS),
            \RecursiveIteratorIterator::CHILD_FIRST
        );
        foreach ($iterator as $file) {
            $file->isDir() ? rmdir($file->getPathname()) : unlink($file->getPathname());
        }
    }

    private function line(string $text): void
    {
        echo $text, PHP_EOL;
    }
}
