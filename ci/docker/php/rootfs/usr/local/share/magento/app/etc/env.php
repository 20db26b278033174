<?php
/** Everything comes from the environment; this file only says where to read how. It may be replaced, as any env.php. */
return require '/usr/local/share/magento/env.php';
