<?php

/**
 * Stand-in for magento-composer-installer, written for this repository.
 *
 * A package of type magento2-component names in extra.map what it puts into the root of the store, and in extra.chmod
 * the modes that matter. The files are copied when composer is done, after the autoloader was dumped, as the original does.
 */

declare(strict_types=1);

namespace Sample\ComposerInstaller;

use Composer\Composer;
use Composer\EventDispatcher\EventSubscriberInterface;
use Composer\IO\IOInterface;
use Composer\Package\PackageInterface;
use Composer\Plugin\PluginInterface;
use Composer\Script\Event;
use Composer\Script\ScriptEvents;
use Composer\Util\Filesystem;

final class Plugin implements PluginInterface, EventSubscriberInterface
{
    public static function getSubscribedEvents(): array
    {
        return [ScriptEvents::POST_INSTALL_CMD => 'deploy', ScriptEvents::POST_UPDATE_CMD => 'deploy'];
    }

    public function activate(Composer $composer, IOInterface $io): void
    {
    }

    public function deactivate(Composer $composer, IOInterface $io): void
    {
    }

    public function uninstall(Composer $composer, IOInterface $io): void
    {
    }

    public function deploy(Event $event): void
    {
        $composer = $event->getComposer();
        $overwrite = ($composer->getPackage()->getExtra()['magento-force'] ?? '') === 'override';
        $packages = $composer->getRepositoryManager()->getLocalRepository()->getCanonicalPackages();
        foreach ($packages as $package) {
            if ($package->getType() !== 'magento2-component') {
                continue;
            }
            $from = $composer->getInstallationManager()->getInstallPath($package);
            $count = $this->deployPackage($package, $from, getcwd(), $overwrite);
            $event->getIO()->write(sprintf('  - Deployed %d files of <info>%s</info>', $count, $package->getName()));
        }
    }

    private function deployPackage(PackageInterface $package, string $from, string $to, bool $overwrite): int
    {
        $count = 0;
        foreach ($package->getExtra()['map'] ?? [] as [$source, $target]) {
            $count += $this->copy("$from/$source", "$to/$target", $overwrite);
        }
        foreach ($package->getExtra()['chmod'] ?? [] as $entry) {
            if (file_exists($to . '/' . $entry['path'])) {
                chmod($to . '/' . $entry['path'], octdec($entry['mask']));
            }
        }
        return $count;
    }

    private function copy(string $source, string $target, bool $overwrite): int
    {
        if (is_dir($source)) {
            (new Filesystem())->ensureDirectoryExists($target);
            $count = 0;
            foreach (array_diff(scandir($source), ['.', '..']) as $name) {
                $count += $this->copy("$source/$name", "$target/$name", $overwrite);
            }
            return $count;
        }
        if (file_exists($target) && !$overwrite) {
            return 0;
        }
        (new Filesystem())->ensureDirectoryExists(dirname($target));
        if (!copy($source, $target)) {
            throw new \RuntimeException("cannot copy $source to $target");
        }
        return 1;
    }
}
